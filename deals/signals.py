"""What the layers above, which `deals` does not know, may want to hear of."""

from django.dispatch import Signal

# The CRM has made one deal of several. Sent in the transaction of the merge with `organisation` (id), `pairs`
# [(id of the loser, id of the survivor)] and `now`; a receiver moves what it keeps of the losers and returns the ids of
# the survivors that got something.
deals_merged = Signal()
