import yaml

from affekt.report.provenance import provenance, run_again


def test_the_experiment_can_be_copied_and_the_command_runs_it(viewed):
    again = run_again(viewed())
    assert yaml.safe_load(again["experiment"]) == viewed().experiment
    assert again["commands"] == ["affekt compare demo.yaml --out runs/demo-again", "affekt report runs/demo-again"]
    assert again["file_name"] == "demo.yaml"


def test_a_resolved_experiment_is_an_experiment_file(viewed):
    from affekt.config import parse_experiment

    experiment = parse_experiment({"name": "x", "encoders": ["mean", {"name": "handcrafted", "label": "h"}]})
    view = viewed()
    view.scores.results.run["experiment"] = experiment.model_dump(mode="json")
    copied = parse_experiment(yaml.safe_load(run_again(view)["experiment"]))
    assert copied.fingerprint() == experiment.fingerprint()


def test_songs_that_a_program_loaded_have_no_command(viewed):
    view = viewed()
    view.experiment["dataset"] = {"name": "deam", "root": None, "loaded": "by the calling program"}
    assert run_again(view)["commands"] == [] and "loaded" in run_again(view)["experiment"]
    view.scores.results.run.clear()
    assert run_again(view)["experiment"] is None


def test_songs_left_out_are_counted_by_reason_and_listed(viewed):
    view = viewed()
    results = view.scores.results
    results.skipped = [{"song_id": str(i), "path": f"{i}.mp3", "reason": "too short"} for i in range(3)]
    results.skipped.append({"song_id": "9", "path": None, "reason": "no audio"})
    results.dataset["left_out"] = [{"reason": "labels without an audio file", "n": 2, "song_ids": ["a", "b"]}]
    run = provenance(view)
    assert run["reasons"] == ["3 songs: too short", "2 songs: labels without an audio file", "1 song: no audio"]
    assert run["n_skipped"] == len(run["skipped"]["rows"]) == 6
    assert run["skipped"]["rows"][3] == ["9", "–", "no audio"]
    assert not any("left_out" in row[0] for row in run["dataset"]["rows"])


def test_splits_budget_and_what_was_chosen(viewed):
    view = viewed()
    run = provenance(view)
    assert run["splits"] == ["Seed 0: kfold, 4 fold(s), seed 0.", "Seed 1: kfold, 4 fold(s), seed 1."]
    assert run["budget"][0] == "Every encoder was fitted 4 times for each of 2 seeds."
    assert "No search" in run["budget"][1]
    assert len(run["chosen"]["rows"]) == 2 * 2 * 4 and run["chosen"]["rows"][0][-1] == "epoch 7"
    view.experiment["search"] = {"trials": 5, "space": {"training.max_lr": [0.001, 0.01], "head": ["mlp"]}}
    assert "up to 5 settings" in provenance(view)["budget"][1]
    assert "training.max_lr in 0.001, 0.01; head in mlp" in provenance(view)["budget"][1]
    view.scores.results.fits.clear()
    assert provenance(view)["chosen"] is None
