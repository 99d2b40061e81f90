FROM python:3.11-slim

ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
RUN useradd --system --create-home --home-dir /srv/vigie vigie
WORKDIR /srv/vigie

COPY requirements.txt ./
RUN pip install --no-cache-dir --require-hashes --requirement requirements.txt

COPY . ./
# Settings refuse to load without these; nothing is asked at them while building, and the image keeps none.
RUN export DATABASE_URL=postgres://build/build REDIS_URL=redis://build \
        SECRET_KEY=only-while-building-the-static-files ENCRYPTION_KEYS=none \
    && python -m config.translations compile \
    && python manage.py collectstatic --no-input --verbosity=0

USER vigie
EXPOSE 8000
CMD ["gunicorn", "config.wsgi"]
