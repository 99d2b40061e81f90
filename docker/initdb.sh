#!/bin/sh
# Run once by the postgres image, on an empty data volume: the two roles and the database.
# The owner makes and changes the tables (migrate); the app role, that of web and worker, owns nothing.
set -eu

psql --quiet --set=ON_ERROR_STOP=1 --username="$POSTGRES_USER" --dbname="$POSTGRES_DB" \
    --set=owner_password="$VIGIE_OWNER_PASSWORD" --set=app_password="$VIGIE_APP_PASSWORD" <<'SQL'
CREATE ROLE vigie_owner LOGIN PASSWORD :'owner_password';
CREATE ROLE vigie_app LOGIN PASSWORD :'app_password';
CREATE DATABASE vigie OWNER vigie_owner;
SQL
