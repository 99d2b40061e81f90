"""python -m bench [NAME…]: measure, and print one JSON line for each figure (all of them without a name).

Runs with the services of its environment (`make bench`). SIZE=full has 300,000 open deals instead of 30,000, SIZE=tiny
some hundreds. Times are medians unless they say p95; `floor` is what the figure is held against in the same run.
"""

import argparse
import logging
import os

import django


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    from bench import dataset, evaluation, pages, sync

    benches = {
        bench.__name__: bench
        for bench in (
            evaluation.evaluate_all,
            evaluation.evaluate_one,
            evaluation.rls,
            pages.list_page,
            sync.sync_first,
        )
    }
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure the product on invented data.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(benches))
    names = parser.parse_args().names
    if unknown := set(names) - set(benches):
        parser.error(f"unknown: {', '.join(unknown)}")
    logging.disable(logging.INFO)
    data = dataset.prepare()
    for name in names or benches:
        benches[name](data)


if __name__ == "__main__":
    main()
