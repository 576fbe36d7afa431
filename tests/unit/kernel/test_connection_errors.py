import errno
import socket

import aiohttp
import pytest

from airnode.kernel.connection_errors import connection_failure


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "x"), "Nothing listens at http://m; is the master running?"),
        (TimeoutError(), "http://m gives no answer in time; is the master running?"),
        (socket.gaierror(socket.EAI_NONAME, "x"), "There is no host with the name in http://m; is it spelt right?"),
        (ValueError("404: no"), "http://m: 404: no"),
        (ValueError(), "http://m: ValueError"),
    ],
)
def test_each_failure_is_a_sentence(error: Exception, text: str):
    assert connection_failure("http://m", error, "master") == text


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_the_errors_of_aiohttp_are_known(host: str):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://{host}:{closed.getsockname()[1]}"
        with pytest.raises(aiohttp.ClientError) as caught:
            async with aiohttp.ClientSession() as session, session.get(url):
                pass
    assert connection_failure(url, caught.value, "master") == f"Nothing listens at {url}; is the master running?"
