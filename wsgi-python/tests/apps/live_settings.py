"""Settings for `live_server.py`."""

SECRET_KEY = "of the tests"
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}}
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "django.contrib.staticfiles"]
ROOT_URLCONF = "live_server"
STATIC_URL = "/static/"
USE_TZ = True
