import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from trainers import metrics
from trainers.plots import loss_png, points, svg, write_report
from trainers.record import RunRecord


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    for step in range(1, 21):
        metrics.append_metrics(
            tmp_path, {"step": step, "loss": 3 / step, "learning_rate": 1e-4, "memory_bytes": 2**30}
        )
    metrics.append_metrics(tmp_path, {"step": 20, "eval_loss": 0.5})
    metrics.append_metrics(tmp_path, {"step": 21, "loss": float("nan")})
    record = RunRecord(tmp_path)
    record.update(method="lora", model="<b>evil</b>", eval_loss_before=2.0, eval_loss_after=0.5)
    record.update(losses={"first": 3.0, "last": 0.15})
    sample = {"prompt": "Who?", "base": "<script>alert(1)</script>", "tuned": "Me."}
    (tmp_path / "samples.json").write_text(json.dumps({"samples": [sample]}))
    return tmp_path


def test_curves_leave_out_what_is_not_finite(run_dir: Path) -> None:
    curve = points(metrics.read_metrics(run_dir), "loss")
    assert len(curve) == 20
    assert curve[0] == (1.0, 3.0)


def test_a_drawing_stays_inside_its_frame_and_a_flat_curve_is_drawn() -> None:
    for curve in ([(1.0, 5.0), (2.0, 1.0), (9.0, 3.0)], [(1.0, 1e-4), (2.0, 1e-4)], [(1.0, 0.0), (2.0, 0.0)]):
        root = ElementTree.fromstring(_quoted(svg(curve)))
        line = root.find("polyline")
        assert line is not None
        for pair in line.attrib["points"].split():
            x, y = map(float, pair.split(","))
            assert 0 <= x <= 640
            assert 0 <= y <= 200


def _quoted(text: str) -> str:
    """HTML allows attributes without quotes, XML does not."""
    return re.sub(r"([a-z0-9-]+)=([^\s\"'/>]+)(?=[\s/>])", r'\1="\2"', text)


def test_the_report_is_one_file_that_escapes_what_models_say(run_dir: Path) -> None:
    page = write_report(run_dir).read_text()
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert "<b>evil" not in page
    assert "2.0000 \N{RIGHTWARDS ARROW} 0.5000" in page
    assert page.count("<svg") == 3
    assert "src=" not in page
    assert "href=" not in page


def test_the_loss_is_drawn_as_png(run_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    drawn = loss_png(run_dir)
    assert drawn is not None
    assert drawn.read_bytes().startswith(b"\x89PNG")
    assert loss_png(tmp_path_factory.mktemp("empty")) is None


def test_a_run_without_numbers_still_has_a_report(tmp_path: Path) -> None:
    assert "<svg" not in write_report(tmp_path).read_text()
