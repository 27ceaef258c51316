#!/bin/sh
# Makes the Cloud Scheduler job that launches the flex template with backfill.json, every morning.
set -eu
cd "$(dirname "$0")"
gcloud scheduler jobs create http bridge-backfill \
	--project=my-project --location=us-central1 \
	--schedule='0 15 * * *' --time-zone=Etc/UTC \
	--uri=https://dataflow.googleapis.com/v1b3/projects/my-project/locations/us-central1/flexTemplates:launch \
	--http-method=post --headers=Content-Type=application/json \
	--message-body-from-file=backfill.json \
	--oauth-service-account-email=scheduler@my-project.iam.gserviceaccount.com \
	--max-retry-attempts=3
