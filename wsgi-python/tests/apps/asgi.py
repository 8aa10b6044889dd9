"""An ASGI application, which this server does not run."""


async def app(scope, receive, send):
    pass


class Framework:
    async def __call__(self, scope, receive, send):
        pass


framework = Framework()
value = "no application"
