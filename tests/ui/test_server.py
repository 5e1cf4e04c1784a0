"""What happens before the first visitor, and what visitors share."""

from __future__ import annotations

import gc
import logging
import threading

import pytest
import torch

from cbam_viz.ui import scene, server, shell
from tests.app_checkpoint import write_checkpoint


def count_forwards(monkeypatch) -> list[int]:
    runs: list[int] = []
    analyse = scene.analyse
    monkeypatch.setattr(scene, "analyse", lambda *a, **k: runs.append(1) or analyse(*a, **k))
    return runs


def test_the_first_page_is_made_before_the_first_visitor(open_app, checkpoint_folder, monkeypatch):
    monkeypatch.setenv("CBAM_VIZ_CHECKPOINTS", str(checkpoint_folder))
    scene.of_sample.clear()
    runs = count_forwards(monkeypatch)
    server.make_first_page()
    assert len(runs) == 1
    monkeypatch.setattr(scene.of_sample, "clear", lambda: None, raising=False)
    app = open_app()
    assert not app.exception
    assert not app.error
    assert len(runs) == 1  # the visitor's page needed no forward of its own


def test_samples_are_shared_and_uploads_are_not(open_app, png, monkeypatch):
    runs = count_forwards(monkeypatch)
    app = open_app()
    app.file_uploader(key="photo_file").upload("mine.png", png).run()
    assert len(runs) == 2
    shared = scene.of_sample
    monkeypatch.setattr(shared, "clear", lambda: None, raising=False)
    other = open_app()
    assert len(runs) == 2  # the sample again
    other.file_uploader(key="photo_file").upload("mine.png", png).run()
    assert len(runs) == 3  # the same file, but another session's


def test_a_network_that_cannot_be_loaded_does_not_stop_the_server(tmp_path, monkeypatch, caplog):
    path = write_checkpoint(tmp_path)
    path.write_bytes(path.read_bytes()[:100_000])
    monkeypatch.setenv("CBAM_VIZ_CHECKPOINTS", str(tmp_path))
    with caplog.at_level(logging.WARNING, "cbam_viz.app"):
        server._warm_up()
    assert "could not be made in advance" in caplog.text


@pytest.mark.parametrize(("chosen", "threads"), [(None, 3), ("4", 4)])
def test_one_core_is_left_to_the_browser_unless_the_user_decided(monkeypatch, chosen, threads):
    before = torch.get_num_threads()
    if chosen is None:
        monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    else:
        monkeypatch.setenv("OMP_NUM_THREADS", chosen)
    torch.set_num_threads(4)
    try:
        server.leave_a_core_free()
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)


def test_nothing_is_collected_while_the_first_page_is_made_and_the_rest_waits(monkeypatch):
    made, imported, rest = [], [], threading.Event()
    monkeypatch.setattr(server, "make_first_page", lambda: made.append(gc.isenabled()))
    monkeypatch.setattr(server, "_make_colour_tables", lambda: None)
    monkeypatch.setattr(server, "PAUSE", 0)
    monkeypatch.setattr(server, "first_page_served", threading.Event())
    monkeypatch.setattr(server, "SOON_NEEDED", ("rest",))
    monkeypatch.setattr(
        server.importlib, "import_module", lambda n: imported.append(n) or rest.set()
    )
    frozen = gc.get_freeze_count()
    try:
        thread = threading.Thread(target=server._warm_up)
        thread.start()
        assert not rest.wait(0.3)
        assert made == [False]
        assert gc.isenabled()
        assert gc.get_freeze_count() > frozen
        server.first_page_served.set()
        assert rest.wait(10)
        thread.join(10)
        assert imported == ["rest"]
        assert gc.isenabled()
    finally:
        gc.unfreeze()


def test_the_shell_says_when_the_first_page_is_complete(open_app, monkeypatch):
    served = threading.Event()
    monkeypatch.setattr(shell, "first_page_served", served)
    open_app(model="upload")  # a link to what no link carries: another network is shown
    assert served.is_set()
