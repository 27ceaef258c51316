"""What reconciles one side of a bridge with the other: ledgers, and readers that change nothing.

    ledger      expects what the source held; then takes what the destination and dead letters have
    readers     Kafka ranges beside every group, a temporary subscription, an archive

A ledger takes the whole source first, then everything else: what the source did not hold is dropped
at once, so that memory follows the source alone.
"""
