"""RTMPS: encoders over TLS, handshakes that never end, and certificates that cannot be used."""

import ssl
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from structlog.testing import capture_logs

from airnode.errors import StartupError
from tests.support.elementary import AAC, AUDIO, H264, VIDEO, run_ffmpeg
from tests.support.rtmp import RtmpPublisher
from tests.support.rtmp_server import KEY, Rig, running
from tests.support.tls import make_certificate


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.mark.ffmpeg
async def test_ffmpeg_publishes_over_tls(certificate: tuple[Path, Path]) -> None:
    async with running(tls_port=0, tls_cert=certificate[0], tls_key=certificate[1]) as rig:
        assert rig.server.tls_port not in (0, None, rig.server.port)
        url = f"rtmps://127.0.0.1:{rig.server.tls_port}/live/{KEY}"
        code, errors = await run_ffmpeg(*VIDEO, *AUDIO, "-t", "2", *H264, *AAC, "-f", "flv", url)
        assert code == 0, errors
        await rig.no_connections()
        assert len(rig.hub.rooms[0].frames("video")) == 60
        assert rig.authority.requests[0].secure
        code, errors = await run_ffmpeg(*VIDEO, "-t", "30", *H264, "-f", "flv", url.replace(KEY, "wrong"))
        assert code != 0
        assert "The stream key is wrong." in errors


async def test_half_open_tls_counts_and_ends(certificate: tuple[Path, Path]) -> None:
    cert, key = certificate
    async with running(tls_port=0, tls_cert=cert, tls_key=key, max_connections=1, handshake_timeout_s=0.3) as rig:
        assert rig.server.tls_port is not None
        with capture_logs() as logs:
            silent = await RtmpPublisher.connect(rig.server.tls_port)
            rejected = await RtmpPublisher.connect(rig.server.port)
            assert await rejected.closes()
            assert await silent.closes()
            await rig.until(lambda: rig.metric("airnode_rtmp_protocol_errors_total", reason="tls") == 1)
        assert [entry["reason"] for entry in logs] == ["too_many_connections", "tls"]
        await silent.aclose()
        await rejected.aclose()
        trust = ssl.create_default_context(cafile=cert)
        peer = await RtmpPublisher.connect(rig.server.tls_port, tls=trust)
        _, code = await peer.publish(KEY)
        assert code == "NetStream.Publish.Start"
        await peer.aclose()


@pytest.mark.parametrize("fault", ["no certificate", "missing file", "not a certificate", "key of another"])
async def test_a_broken_certificate_is_one_clear_error(
    certificate: tuple[Path, Path], tmp_path: Path, fault: str
) -> None:
    cert, key = certificate
    garbage = tmp_path / "garbage.pem"
    garbage.write_text("-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n")
    other = tmp_path / "other.pem"
    other.write_bytes(
        ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"x")
        )
    )
    files = {
        "no certificate": {},
        "missing file": {"tls_cert": tmp_path / "none.pem", "tls_key": key},
        "not a certificate": {"tls_cert": garbage, "tls_key": key},
        "key of another": {"tls_cert": cert, "tls_key": other},
    }[fault]
    rig = Rig(tls_port=0, **files)
    with pytest.raises(StartupError, match=r"rtmp\.tls_cert.*rtmp\.tls_key") as caught:
        await rig.server.start()
    assert "\n" not in str(caught.value)
    await rig.server.stop()
