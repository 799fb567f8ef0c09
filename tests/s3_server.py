"""moto's S3 as a program, which `tests.s3` starts: it prints its port, and can hold or refuse a request.

python tests/s3_server.py FOLDER

Every request becomes a line of ``FOLDER/requests``, and of ``FOLDER/answered`` when it is. The first one that matches
the regular expression in ``FOLDER/hold`` turns that file into ``FOLDER/held`` and is answered once that is deleted.
Those that match ``FOLDER/refuse``, or that nobody signed, are denied as in a private bucket.
"""

import logging
import re
import sys
import threading
import time
from pathlib import Path

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server
from werkzeug.wrappers import Response

_REFUSED = "<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"


class Watched:
    """A WSGI application that writes down what another one is asked, and makes some of it wait."""

    def __init__(self, application, folder):
        self._application, self._folder = application, folder
        self._lock = threading.Lock()

    def __call__(self, environ, start_response):
        query = environ.get("QUERY_STRING")
        request = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}{'?' + query if query else ''}"
        self._note("requests", request)
        try:
            return self._answer(request, environ, start_response)
        finally:
            self._note("answered", request)

    def _answer(self, request, environ, start_response):
        self._hold(request)
        while (self._folder / "held").exists() and (self._folder / "held").read_text() == request:
            time.sleep(0.005)
        refuse = self._folder / "refuse"
        if "HTTP_AUTHORIZATION" not in environ or (refuse.exists() and re.search(refuse.read_text(), request)):
            return Response(_REFUSED, 403, mimetype="application/xml")(environ, start_response)
        return self._application(environ, start_response)

    def _note(self, name, request):
        with self._lock, (self._folder / name).open("a") as log:
            log.write(f"{request}\n")

    def _hold(self, request):
        with self._lock:
            hold = self._folder / "hold"
            if hold.exists() and re.search(hold.read_text(), request):
                hold.write_text(request)
                hold.rename(self._folder / "held")


if __name__ == "__main__":
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    application = Watched(DomainDispatcherApplication(create_backend_app), Path(sys.argv[1]))
    server = make_server("127.0.0.1", 0, application, threaded=True)
    print(server.server_port, flush=True)
    server.serve_forever()
