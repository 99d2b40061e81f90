"""What is kept out of the log."""

import logging
import re

# A part of an address as long as a signature: whoever reads the log could use it.
TOKEN = re.compile(r"(?<=/)[\w.:=-]{40,}")


class WithoutTokens(logging.Filter):
    """Addresses that open something without a login (calendars, invitations) are logged without their token."""

    def filter(self, record: logging.LogRecord) -> bool:
        text = record.getMessage()
        if TOKEN.search(text):
            record.msg, record.args = TOKEN.sub("…", text), ()
        return True
