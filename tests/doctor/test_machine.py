from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from alignc.contract.cache import cache_folder
from alignc.doctor.machine import access, caches, compilers, hardware, hub, hub_cache, place
from alignc.doctor.probe import Device, Torch, probe

GPU = Device("H200", 139 << 30, 100 << 30, bf16=True)


def test_torch_is_asked_in_a_process_of_its_own():
    import torch

    found = probe()
    assert found.trouble == ""
    assert found.gloo == ""
    assert (len(found.devices), found.cuda) == (torch.cuda.device_count(), torch.version.cuda)


def test_a_torch_that_crashes_or_hangs_is_a_finding(tmp_path: Path):
    script = tmp_path / "machine.py"
    script.write_text("import sys\nsys.exit('libcudart.so: no such file')")
    found = probe(script)
    assert (found.trouble, bool(found.gloo)) == ("libcudart.so: no such file", True)
    script.write_text('print(\'{"devices": [], "cuda": null}\', flush=True)\nwhile True: pass')
    found = probe(script, patience=2)
    assert (found.trouble, found.gloo, found.devices) == ("", "no answer within 2 s", ())


def states(torch: Torch, *needed: str) -> dict[str, str]:
    return {each.name: each.state for each in hardware(torch, needed)}


def test_what_connects_processes_lacks_only_where_it_is_needed():
    assert states(Torch())["gloo"] == "ok"
    assert states(Torch(gloo="no address"))["gloo"] == "note"
    assert states(Torch(gloo="no address"), "gloo")["gloo"] == "lacks"
    assert states(Torch(trouble="libcudart"))["torch"] == "lacks"


def test_devices_are_listed():
    found = {each.name: each for each in hardware(Torch((GPU, GPU), "13.0"), ())}
    assert found["GPU 1"].found == "H200, 139 GiB, 100 GiB of it free"
    assert found["bf16"].state == "ok"
    assert states(Torch((Device("old", 1 << 30, 1 << 30, bf16=False),), "13.0"))["bf16"] == "note"


def test_compilers_are_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    tool = tmp_path / "g++"
    tool.write_text("#!/bin/sh\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("sys.executable", str(tmp_path / "none" / "python"))
    found = {each.name: (each.state, each.help) for each in compilers({"g++", "ninja"})}
    assert found == {"g++": ("ok", None), "ninja": ("lacks", "pip install ninja")}
    assert [each.state for each in compilers(())] == ["ok", "note"]


def test_a_place_is_writable_and_has_room(tmp_path: Path):
    assert place("folders", "x", tmp_path / "a" / "b", "way out").state in ("ok", "note")
    assert not (tmp_path / "a").exists()
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("")
    found = place("folders", "x", tmp_path / "file" / "b", "way out")
    assert (found.state, found.help) == ("lacks", "way out")
    full = place("folders", "x", tmp_path, "way out", wanted=1 << 60)
    assert (full.state, "needs about" in full.found) == ("lacks", True)


def test_folders_are_those_of_the_jobs_and_of_the_hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    from huggingface_hub import constants

    assert hub_cache() == Path(constants.HF_HUB_CACHE)
    for name, folder in (("ALIGNC_CACHE", tmp_path), ("XDG_CACHE_HOME", tmp_path / "alignc")):
        monkeypatch.delenv("ALIGNC_CACHE", raising=False)
        monkeypatch.setenv(name, str(tmp_path))
        found = next(finding for finding in caches() if finding.name == "cache")
        assert cache_folder() == folder
        assert str(folder) in found.found
        monkeypatch.delenv(name)
    assert cache_folder() == Path.home() / ".cache" / "alignc"


class Refusing(BaseHTTPRequestHandler):
    def do_HEAD(self):
        self.send_response(403)
        self.end_headers()

    def log_message(self, *_):
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    with HTTPServer(("127.0.0.1", 0), Refusing) as found:
        thread = threading.Thread(target=found.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{found.server_port}"
        found.shutdown()
        thread.join()


def test_any_answer_of_the_hub_is_one(server: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HF_ENDPOINT", server)
    assert hub().state == "ok"
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    assert (hub().state, hub().help is not None) == ("lacks", True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert hub().state == "note"


def test_permissions_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert [each.state for each in access(None, online=False)] == ["note"]
    file = Path("alignc.toml")
    file.write_text('[allow]\nhosts = ["localhost:8000"]\n')
    (found,) = access(Path("spec.yaml"), online=False)
    assert (found.state, found.found) == ("ok", f"{tmp_path / file}: 0 functions, 1 hosts")
    file.write_text("[alow]\n")
    (found,) = access(None, online=False)
    assert (found.state, "did you mean `allow`?" in str(found.help)) == ("lacks", True)
