"""Consumer and producer on librdkafka (confluent-kafka). Only this package imports it."""

from transforms.kafka.librdkafka.consumer import LibrdkafkaConsumer
from transforms.kafka.librdkafka.producer import LibrdkafkaProducer

__all__ = ["LibrdkafkaConsumer", "LibrdkafkaProducer"]
