#!/bin/sh
# What the container is for, by its arguments:
#
#     COMMAND ...       that command: python -m pipelines.kafka_to_ps --bootstrap_servers=...
#     --id=... ...      a worker, as runners start it; or --worker_pool, where Beam's workers are external
#     else              the launcher of a flex template, where the image is one
#
# Each replaces this shell, so that a signal to the container is a signal to it.
set -eu

case "${1-}" in
"" | -*) ;;
*) exec "$@" ;;
esac

for argument; do
	case "$argument" in
	--id=* | --worker_pool*) exec /opt/apache/beam/boot "$@" ;;
	esac
done

if [ -n "${FLEX_TEMPLATE_PYTHON_PY_FILE-}" ]; then
	exec /opt/google/dataflow/python_template_launcher "$@"
fi

echo "entrypoint: no command; give one, such as: python -m pipelines.kafka_to_ps --help" >&2
exit 2
