"""python -m bench [NAME…]: measure, and print one JSON line for each figure (all of them without a name).

Runs with the services of its environment (`make bench`). SIZE=full has 300,000 open deals instead of 30,000, SIZE=tiny
some hundreds. Times are medians unless they say p95; `floor` is what the figure is held against in the same run.
"""

import argparse
import logging

from bench import dataset
from bench.connectors import public_connectors
from bench.evaluation import evaluate_all, evaluate_growth, evaluate_one, preview, rls
from bench.pages import deal_page, list_page
from bench.sync import sync_first
from bench.webhooks import webhook_ack

BENCHES = {
    bench.__name__: bench
    for bench in (
        *(evaluate_all, evaluate_growth, evaluate_one, preview, rls, list_page, deal_page),
        *(sync_first, public_connectors, webhook_ack),
    )
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure the product on invented data.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHES))
    names = parser.parse_args().names
    if unknown := set(names) - set(BENCHES):
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    logging.disable(logging.INFO)
    data = dataset.prepare()
    for name in names or BENCHES:
        BENCHES[name](data)


if __name__ == "__main__":
    main()
