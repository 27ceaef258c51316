"""Consumer, producer and administration on kafka-python. Only this package imports it."""

from transforms.kafka.kafka_python.admin import KafkaPythonAdmin
from transforms.kafka.kafka_python.consumer import KafkaPythonConsumer
from transforms.kafka.kafka_python.producer import KafkaPythonProducer

__all__ = ["KafkaPythonAdmin", "KafkaPythonConsumer", "KafkaPythonProducer"]
