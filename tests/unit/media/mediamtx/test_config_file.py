"""The configuration of MediaMTX, its program and its supervision."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from airnode.config.sections.hls import HlsSection
from airnode.config.sections.mediamtx import MediaMtxSection
from airnode.errors import StartupError
from airnode.media.mediamtx.config_file import (
    ENVIRONMENT,
    ListenAddresses,
    MediaMtxSecrets,
    changed_values,
    is_loopback,
    own_config,
    required_config,
    to_yaml,
)
from airnode.media.mediamtx.server import SECRET_PATHS, HangDetector, find_mediamtx

SECRETS = MediaMtxSecrets("hook-secret", "reader-secret")
HOOK = "http://127.0.0.1:4000/mediamtx/hook-secret"


ADDRESSES = ListenAddresses("0.0.0.0", HOOK, 4001, 4002, 4003)


def made(section: MediaMtxSection | None = None, **addresses) -> dict:
    where = ListenAddresses(
        **{"host": "0.0.0.0", "hook_url": HOOK, "api_port": 4001, "hls_port": 4002, "whip_port": 4003, **addresses}
    )
    return yaml.safe_load(to_yaml(own_config(section or MediaMtxSection(), HlsSection(), where, SECRETS)))


def test_only_publishers_ports_are_reachable_from_outside():
    found = made()
    assert found["apiAddress"] == "127.0.0.1:4001"
    assert found["hlsAddress"] == "127.0.0.1:4002"
    assert found["authHTTPAddress"].startswith("http://127.0.0.1:")
    assert (found["srtAddress"], found["rtspAddress"], found["webrtcAddress"]) == (":8890", ":8554", "127.0.0.1:4003")
    assert [found[each] for each in ("srt", "rtsp", "webrtc", "rtmp")] == [True, True, True, False]
    assert [found[each] for each in ("metrics", "pprof", "playback")] == [False, False, False]
    assert "rtmpAddress" not in found


@pytest.mark.parametrize("version", ["v1.18.2", "v1.19.3", "v1.20.1"])
def test_moq_is_off_in_all_versions(version: str, tmp_path: Path):
    file = tmp_path / "mediamtx.yml"
    file.write_text(to_yaml(own_config(MediaMtxSection(), HlsSection(), ADDRESSES, SECRETS)))
    code = (
        "import os, json; from tests.support.mediamtx_fake import load_config;"
        f"print(json.dumps(load_config(open({str(file)!r}).read(), os.environ)))"
    )
    environment = {**os.environ, "FAKE_VERSION": version, **ENVIRONMENT}
    run = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert json.loads(run.stdout).get("moq", False) is False


def test_every_request_is_authorized_even_at_the_api():
    found = made()
    assert found["authMethod"] == "http"
    assert found["authHTTPExclude"] == []
    assert found["hlsCDNSecret"] == "reader-secret"
    assert found["paths"] == {"~^live/[^/]+$": {}}


def test_low_latency_hls_is_muxed_without_readers():
    found = made()
    assert (found["hlsVariant"], found["hlsAlwaysRemux"]) == ("lowLatency", True)
    assert (found["hlsPartDuration"], found["hlsSegmentDuration"], found["hlsSegmentCount"]) == ("133ms", "1s", 7)


def test_ports_can_be_changed_and_disabled():
    section = MediaMtxSection(srt_port=0, rtsp_port=0, webrtc_port=9000, rtmp_port=1936)
    found = made(section, host="192.0.2.1", public_host="class.example")
    assert [found[each] for each in ("srt", "rtsp", "webrtc", "rtmp")] == [False, False, True, True]
    assert (found["webrtcAddress"], found["rtmpAddress"]) == ("127.0.0.1:4003", "192.0.2.1:1936")
    assert found["webrtcAdditionalHosts"] == ["class.example"]
    assert found["webrtcLocalUDPAddress"] == "192.0.2.1:8189"
    assert made(host="::1")["srtAddress"] == "[::1]:8890"


def test_only_different_values_of_a_running_mediamtx_are_changed():
    wanted = required_config(HlsSection(), HOOK, SECRETS)
    assert changed_values(wanted, wanted) == {}
    assert changed_values({**wanted, "hlsVariant": "mpegts", "other": 1}, wanted) == {"hlsVariant": "lowLatency"}


@pytest.mark.parametrize(
    ("address", "local"), [("127.0.0.1:8888", True), ("[::1]:8888", True), (":8888", False), ("192.0.2.1:1", False)]
)
def test_loopback_addresses(address: str, local: bool):
    assert is_loopback(address) is local


def test_secrets_are_not_shown():
    assert "secret" not in repr(SECRETS)


def test_stream_keys_are_removed_from_the_log_of_mediamtx():
    line = "WAR [path live/c1a55-k3y] closed, [HLS] live/c1a55-k3y: 'live/c1a55-k3y?key=x'"
    assert "c1a55" not in SECRET_PATHS.sub("***", line)


def test_the_program_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(StartupError, match=r"no 'mediamtx' on PATH.*mediamtx\.binary.*mediamtx\.api_url"):
        find_mediamtx(None)
    program = tmp_path / "mediamtx"
    program.write_text("#!/bin/sh\n")
    with pytest.raises(StartupError, match="not a program"):
        find_mediamtx(program)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    assert find_mediamtx(program) == find_mediamtx(None) == program


def test_a_hanging_mediamtx_is_distinguished_from_a_slow_one():
    liveness = HangDetector(30, 100)
    assert not liveness.hangs(129)
    liveness.answered(129)
    assert not liveness.hangs(158)
    assert liveness.hangs(159)
    assert not liveness.hangs(170), "once: it is being started again"
    assert liveness.hangs(189)
