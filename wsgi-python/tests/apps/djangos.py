"""A Django application in one file."""

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.http import FileResponse, HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path

settings.configure(
    DEBUG=False, ALLOWED_HOSTS=["localhost", "127.0.0.1"], ROOT_URLCONF=__name__, SECRET_KEY="of the tests",
    MIDDLEWARE=["django.middleware.common.CommonMiddleware", "django.middleware.gzip.GZipMiddleware"],
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    INSTALLED_APPS=["django.contrib.contenttypes"], USE_TZ=True,
    LOGGING={"version": 1, "disable_existing_loggers": False, "handlers": {"stderr": {"class": "logging.StreamHandler"}},
             "root": {"handlers": ["stderr"], "level": "ERROR"}},
)


def hello(request):
    return HttpResponse("Hello, World!", content_type="text/plain")


def echo(request):
    files = {name: file.size for name, file in request.FILES.items()}
    return JsonResponse({"post": request.POST.dict(), "files": files, "path": request.path, "get": request.GET.dict(),
                         "secure": request.is_secure()})


def stream(request):
    return StreamingHttpResponse((f"{number}\n".encode() for number in range(5)), content_type="text/plain")


def file(request):
    return FileResponse(open(__file__, "rb"), content_type="text/plain")


def fail(request):
    raise RuntimeError("secret of the application")


urlpatterns = [path("", hello), path("echo/<str:name>", lambda request, name: echo(request)), path("stream", stream),
               path("file", file), path("fail", fail)]

application = get_wsgi_application()
