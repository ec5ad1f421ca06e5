"""moto for Terraform: one request at a time, and AWS's word for a rule that is gone.

moto's server answers in threads that share lists without a lock, and an apply asks twenty things
at once. Asked to revoke a rule of a security group again, as after an answer that was lost, it
says `InvalidPermission.NotFound` where AWS says `InvalidSecurityGroupRuleId.NotFound`, which the
provider takes for done.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from werkzeug.serving import make_server
from werkzeug.wrappers import Response

from support.chart_services import HOST

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

_OURS: Final = b"<Code>InvalidPermission.NotFound</Code>"
_AWS: Final = b"<Code>InvalidSecurityGroupRuleId.NotFound</Code>"


@contextmanager
def serve() -> Generator[str, None, None]:
    """Empty engines of moto's at the address it yields, until the block ends."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # a line a request
    moto, lock = DomainDispatcherApplication(create_backend_app), threading.Lock()

    def one_at_a_time(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        with lock:
            answer = Response.from_app(moto, environ, buffered=True)
        if answer.status_code == HTTPStatus.BAD_REQUEST:
            answer.set_data(answer.get_data().replace(_OURS, _AWS))
        return answer(environ, start)

    server = make_server(HOST, 0, one_at_a_time, threaded=True, request_handler=MotoRequestHandler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://{HOST}:{server.port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
