"""The places of dead letters: messages that can never be delivered, whole, with the reason.

`transforms.dead_letter` says what one is, `avro` how it is written; `kafka`, `pubsub` and `files`
each hold a sink and a source of them, which `places` opens. One contract suite runs on all three.
"""
