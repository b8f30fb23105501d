# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
from __future__ import annotations

import copy

import pytest
import torch
from monai.data import MetaTensor
from torch import nn

from monai_coat.calibration import identity_of
from monai_coat.losses import SoftTPRLoss
from monai_coat.networks import AdaptiveSegmenter, ProbabilityActivation, unwrap_adaptive_segmenter
from monai_coat.scorers import MarginScorer, ProbabilityScorer, ThresholdPredictor


class Fixed(nn.Module):
    """Somebody else's network: gives what it was made with, whatever it is given."""

    def __init__(self, value):
        super().__init__()
        self.value = nn.Buffer(torch.tensor(value))

    def forward(self, *args):
        return self.value


def sample(dims=2, batch=2):
    return torch.rand(batch, 3, *(20, 24, 16)[:dims])


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("activation", list(ProbabilityActivation))
def test_one_float32_score_map_comes_out(make_network, dims, activation):
    network = make_network(num_classes=2, spatial_dims=dims, activation=activation)
    image = sample(dims)
    scores = network(image)
    assert isinstance(scores, torch.Tensor)
    assert scores.dtype == torch.float32
    assert scores.shape == (2, 2, *image.shape[2:])
    probs = network.probabilities(image)
    thresholds = network.scorer.thresholds(image, probs)
    assert torch.equal(scores, probs - thresholds.reshape(2, 2, *[1] * dims))


def test_activations_by_hand():
    logits = [[[[0.0]], [[2.0]], [[-1.0]]]]
    image = torch.zeros(1, 1, 1, 1)
    sigmoid = AdaptiveSegmenter(Fixed(logits), num_classes=3)
    softmax = AdaptiveSegmenter(Fixed(logits), num_classes=2, activation="softmax")
    identity = AdaptiveSegmenter(Fixed(logits), num_classes=3, activation=ProbabilityActivation.IDENTITY)
    torch.testing.assert_close(sigmoid(image).flatten(), torch.tensor([0.5, 0.880797, 0.268941]))
    # e^2 and e^-1 over 1 + e^2 + e^-1, the background's share left out.
    torch.testing.assert_close(softmax(image).flatten(), torch.tensor([0.843795, 0.042010]), atol=1e-6, rtol=0)
    assert identity(image).flatten().tolist() == [0.0, 2.0, -1.0]


def test_logit_temperature_divides_logits_and_stays_with_the_weights():
    image, logits = torch.zeros(1, 1, 1, 1), [[[[0.0]], [[2.0]], [[-1.0]]]]
    softened = AdaptiveSegmenter(Fixed(logits), num_classes=3, logit_temperature=2)
    torch.testing.assert_close(softened(image).flatten(), torch.sigmoid(torch.tensor([0.0, 1.0, -0.5])))
    loaded = AdaptiveSegmenter(Fixed(logits), num_classes=3)
    assert identity_of(loaded) != identity_of(softened)
    loaded.load_state_dict(softened.state_dict())
    assert torch.equal(loaded(image), softened(image))
    assert identity_of(loaded) == identity_of(softened)


def test_impossible_logit_temperatures_are_refused():
    with pytest.raises(ValueError, match=r"logit_temperature must be positive and finite, got 0\.0"):
        AdaptiveSegmenter(nn.Conv2d(3, 1, 1), logit_temperature=0)
    with pytest.raises(ValueError, match=r"logit_temperature must be 1 with activation='identity', got 4"):
        AdaptiveSegmenter(nn.Conv2d(3, 1, 1), activation="identity", logit_temperature=4)


def test_without_a_scorer_scores_are_the_probabilities(make_network):
    network = AdaptiveSegmenter(make_network().segmenter)
    assert isinstance(network.scorer, ProbabilityScorer)
    image = sample()
    assert torch.equal(network(image), network.probabilities(image))


def test_foreign_modules_serve_as_segmenter_and_predictor():
    network = AdaptiveSegmenter(Fixed([[[[0.0, 100.0]]]]), MarginScorer(Fixed([[0.25]])))
    network.set_calibration((0.25,), alpha=0.1, n=(9,))
    image = torch.zeros(1, 5, 1, 2)
    assert network(image).flatten().tolist() == [0.25, 0.75]
    assert network.prediction_set(image).flatten().tolist() == [True, True]  # 0.25 is a tie, and inside
    assert network.thresholds(image).tolist() == [[0.5]]


def test_the_segmenter_stays_as_it_was_while_the_scorer_trains(make_network):
    network = make_network()
    before = {name: value.clone() for name, value in network.segmenter.state_dict().items()}
    scorer = {name: value.clone() for name, value in network.scorer.named_parameters()}
    optimizer = torch.optim.SGD([p for p in network.parameters() if p.requires_grad], lr=1.0)
    for _ in range(3):
        assert network.train().training
        assert network.scorer.training
        optimizer.zero_grad()
        SoftTPRLoss(alpha=0.1)(network(sample()), torch.ones(2, 1, 20, 24)).backward()
        optimizer.step()
    assert all(p.grad is None for p in network.segmenter.parameters())
    for name, value in network.segmenter.state_dict().items():
        assert torch.equal(value, before[name]), name
    assert all(not torch.equal(p, scorer[name]) for name, p in network.scorer.named_parameters())
    assert not network.eval().training


def test_scores_do_not_depend_on_autocast(make_network):
    network, image = make_network(cutoff=(0.1,)), sample()
    plain = network(image), network.probabilities(image), network.thresholds(image), network.prediction_set(image)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert network.segmenter(image).dtype == torch.bfloat16  # the autocast is there
        inside = network(image), network.probabilities(image), network.thresholds(image), network.prediction_set(image)
    assert all(torch.equal(a, b) and a.dtype == b.dtype for a, b in zip(plain, inside, strict=True))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.uint8])
def test_images_of_any_type_are_taken(make_network, dtype):
    network, image = make_network(cutoff=(0.1,)), (sample() * 255).to(dtype)
    assert torch.equal(network(image), network(image.float()))
    assert torch.equal(network.thresholds(image), network.thresholds(image.float()))


def test_an_uncalibrated_network_gives_scores_but_no_sets(make_network):
    network, image = make_network(), sample()
    scores = network(image)
    for ask in (lambda: network.prediction_set(image), lambda: network.cut(scores), lambda: network.thresholds(image)):
        with pytest.raises(
            RuntimeError,
            match=r"network must be calibrated .*ConformalCalibration\(alpha, network=network\), .* set_calibration",
        ):
            ask()


def test_sets_and_thresholds_are_two_views_of_one_cut(make_network):
    network, image = make_network(num_classes=2, cutoff=(0.05, -0.1)), sample()
    probs, scores = network.probabilities(image), network(image)
    predicted = network.scorer.thresholds(image, probs)
    thresholds = network.thresholds(image)
    assert torch.equal(thresholds, (predicted + torch.tensor([0.05, -0.1])).clamp(0, 1))
    assert torch.equal(network.thresholds(image, probs), thresholds)
    mask = network.prediction_set(image)
    assert mask.dtype == torch.bool
    assert torch.equal(mask, scores >= torch.tensor([0.05, -0.1]).reshape(1, 2, 1, 1))
    assert torch.equal(network.cut(scores), mask)
    # Up to rounding next to the threshold it is the mask of the thresholds.
    clear = (probs - thresholds[..., None, None]).abs() > 1e-6
    assert torch.equal(mask[clear], (probs >= thresholds[..., None, None])[clear])


@pytest.mark.parametrize(("cutoff", "threshold"), [(5.0, 1.0), (-5.0, 0.0)])
def test_thresholds_stay_probabilities(make_network, cutoff, threshold):
    assert make_network(cutoff=(cutoff,)).thresholds(sample()).tolist() == [[threshold]] * 2


def test_ties_are_inside(make_network):
    network, image = make_network(), sample(batch=1)
    score = network(image).detach()
    network.set_calibration((float(score[0, 0, 3, 4]),), alpha=0.1, n=(9,))
    assert bool(network.prediction_set(image)[0, 0, 3, 4])
    assert torch.equal(network.prediction_set(image), score >= score[0, 0, 3, 4])


def test_metadata_is_kept(make_network):
    affine = torch.diag(torch.tensor([2.0, 3.0, 4.0, 1.0]))
    image = MetaTensor(sample(3, batch=1)[0], affine=affine, meta={"filename_or_obj": "a.nii"})[None]
    network = make_network(spatial_dims=3, cutoff=(0.1,))
    for result in (network(image), network.probabilities(image), network.prediction_set(image)):
        assert isinstance(result, MetaTensor)
        assert torch.equal(result.affine, image.affine)
        assert result.meta["filename_or_obj"] == "a.nii"


def test_a_calibration_is_stored_whole(make_network):
    network = make_network(num_classes=2)
    assert not bool(network.calibrated)
    network.set_calibration((0.25, -0.5), alpha=0.2, n=(30, 40))
    assert bool(network.calibrated)
    assert network.calibrated_cutoff.tolist() == [0.25, -0.5]
    assert round(float(network.calibrated_alpha), 6) == 0.2
    assert network.calibrated_n.tolist() == [30, 40]


def test_a_network_and_its_calibration_go_to_devices_without_float64(make_network):
    # Apple's GPUs have none, and refuse a module with a buffer of it.
    assert all(value.dtype != torch.float64 for value in make_network(cutoff=(0.1,)).state_dict().values())


@pytest.mark.parametrize(("cutoff", "n"), [((0.1,), (9, 9)), ((0.1, 0.1), (9,)), ((0.1, 0.2, 0.3), (9, 9, 9))])
def test_a_calibration_for_other_classes_is_refused_and_changes_nothing(make_network, cutoff, n):
    network = make_network(num_classes=2)
    with pytest.raises(ValueError, match=rf"one entry per class, 2, got {len(cutoff)} and {len(n)}"):
        network.set_calibration(cutoff, alpha=0.1, n=n)
    assert not bool(network.calibrated)
    assert network.calibrated_cutoff.tolist() == [0.0, 0.0]


def test_wrong_arguments_are_refused(make_network):
    with pytest.raises(ValueError, match=r"activation must be one of sigmoid, softmax, identity, got 'relu'"):
        AdaptiveSegmenter(nn.Conv2d(3, 1, 1), activation="relu")
    network = AdaptiveSegmenter(nn.Conv2d(3, 2, 1), num_classes=3)
    for ask in (network, network.probabilities):
        with pytest.raises(ValueError, match=r"segmenter must give probabilities of 3 foreground classes, got 2"):
            ask(sample())


def test_wrappers_are_taken_off(make_network):
    network = make_network()
    wrapped = nn.DataParallel(network)
    for outside in (network, wrapped, torch.compile(network, backend="eager"), torch.compile(wrapped, backend="eager")):
        assert unwrap_adaptive_segmenter(outside) is network
    with pytest.raises(TypeError, match=r"network must be an AdaptiveSegmenter, got Conv2d; wrap the segmenter in one"):
        unwrap_adaptive_segmenter(nn.Conv2d(3, 1, 1))


def test_the_default_predictor_fits(make_network):
    network = AdaptiveSegmenter(make_network(2).segmenter, MarginScorer(ThresholdPredictor(2, 3, 2)), 2)
    assert network(sample()).shape == (2, 2, 20, 24)


LAYERS = (nn.Conv2d(1, 4, 1), nn.LeakyReLU(0.1), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Conv2d(4, 1, 1))


def calibrated() -> AdaptiveSegmenter:
    network = AdaptiveSegmenter(nn.Sequential(*copy.deepcopy(LAYERS)))
    network.set_calibration((0.5,), alpha=0.1, n=(9,))
    return network


def replace_twice(network: AdaptiveSegmenter) -> None:
    """The second weight may get the place in memory that the calibrated one had."""
    for _ in range(2):
        network.segmenter[0].weight = nn.Parameter(torch.rand(4, 1, 1, 1))


CHANGES = {
    "setting of a layer": lambda network: setattr(network.segmenter[1], "negative_slope", -5.0),
    "setting of a norm": lambda network: setattr(network.segmenter[2], "eps", 3.0),
    "layer": lambda network: network.segmenter.__setitem__(1, nn.Identity()),
    "segmenter": lambda network: setattr(network, "segmenter", nn.Sequential(network.segmenter, nn.Tanh())),
    "weight": replace_twice,
    "cutoff": lambda network: network.calibrated_cutoff.fill_(0.9),
    "level": lambda network: network.calibrated_alpha.fill_(0.01),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_network_that_was_changed_is_no_longer_calibrated(change):
    network = calibrated()
    network.prediction_set(torch.rand(1, 1, 4, 4))
    change(network)
    network.eval()
    with pytest.raises(RuntimeError, match="its weights or settings have changed since; calibrate it again"):
        network.prediction_set(torch.rand(1, 1, 4, 4))


@pytest.mark.parametrize("part", ["segmenter.3", "segmenter", "scorer"])
def test_no_layer_may_be_in_training_mode(part):
    network = calibrated()
    network.get_submodule(part).train()
    with pytest.raises(RuntimeError, match="must be in evaluation mode"):
        network.prediction_set(torch.rand(1, 1, 4, 4))


@pytest.mark.parametrize("norm", [nn.BatchNorm2d, nn.SyncBatchNorm])
def test_statistics_of_the_batch_are_refused_in_any_mode(norm):
    batched = norm(4, track_running_stats=False)
    network = AdaptiveSegmenter(nn.Sequential(nn.Conv2d(3, 4, 1), batched, nn.Conv2d(4, 1, 1))).eval()
    network.set_calibration((0.5,), alpha=0.1, n=(9,))
    with pytest.raises(RuntimeError, match=rf"got segmenter\.1, a {norm.__name__} without running statistics"):
        network.prediction_set(torch.rand(4, 3, 8, 8))


def test_norms_that_look_at_one_image_are_taken():
    layers = [nn.Conv2d(3, 4, 1), nn.InstanceNorm2d(4), nn.GroupNorm(2, 4), nn.BatchNorm2d(4), nn.Conv2d(4, 1, 1)]
    network, images = AdaptiveSegmenter(nn.Sequential(*layers)).eval(), torch.rand(4, 3, 8, 8)
    network.set_calibration((0.5,), alpha=0.1, n=(9,))
    network.prediction_set(images)
    torch.testing.assert_close(network(images)[:1], network(images[:1]))


def test_a_network_of_inference_mode_that_was_changed_is_no_longer_calibrated():
    image = torch.rand(1, 1, 4, 4)
    with torch.inference_mode():
        network = calibrated()
        network.prediction_set(image)
        network.segmenter[0].weight.mul_(-9)
    for _ in range(2):
        with pytest.raises(RuntimeError, match=r"have changed since|must be calibrated"):
            network.prediction_set(image)


@pytest.mark.parametrize("dtype", [torch.half, torch.bfloat16, torch.double])
@pytest.mark.parametrize("layer", [nn.Conv2d(3, 1, 1), nn.Sequential(nn.Flatten(), nn.Linear(192, 1))])
def test_a_segmenter_of_another_precision_is_refused_with_the_remedy(dtype, layer):
    network = AdaptiveSegmenter(copy.deepcopy(layer).to(dtype))
    with pytest.raises(RuntimeError, match=rf"in float32, got weights in {dtype}; call segmenter\.float\(\)"):
        network(torch.rand(1, 3, 8, 8))


class Casting(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Conv2d(3, 1, 1).bfloat16()

    def forward(self, image):
        if image.shape[-1] == 3:
            raise RuntimeError("of its own")
        return self.layer(image.bfloat16())


def test_a_segmenter_that_casts_is_taken_and_other_errors_are_its_own():
    assert AdaptiveSegmenter(Casting())(torch.rand(1, 3, 8, 8)).dtype == torch.float32
    with pytest.raises(RuntimeError, match=r"^of its own$"):
        AdaptiveSegmenter(Casting())(torch.rand(1, 3, 3, 3))


def test_copies_are_calibrated_and_independent():
    network = calibrated()
    copied = copy.deepcopy(network)
    with torch.no_grad():
        copied.segmenter[0].weight.add_(1)
    assert network.prediction_set(torch.rand(1, 1, 4, 4)).dtype == torch.bool
    with pytest.raises(RuntimeError, match="have changed since"):
        copied.prediction_set(torch.rand(1, 1, 4, 4))


def test_scores_that_are_not_finite_have_no_set():
    with pytest.raises(ValueError, match="scores must be finite"):
        calibrated().prediction_set(torch.full((1, 1, 4, 4), torch.nan))


@pytest.mark.parametrize(
    ("cutoff", "alpha", "n"), [(torch.nan, 0.1, 9), (torch.inf, 0.1, 9), (0.5, 5.0, 9), (0.5, 0.1, -3)]
)
def test_what_no_calibration_gives_is_refused(cutoff, alpha, n):
    network = AdaptiveSegmenter(nn.Conv2d(1, 1, 1))
    with pytest.raises(ValueError, match="must be"):
        network.set_calibration((cutoff,), alpha=alpha, n=(n,))
    assert not bool(network.calibrated)


class Batched(nn.Module):
    """A segmenter that batch statistics and chance would change."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 1, 1), nn.BatchNorm2d(1), nn.Dropout(0.5))

    def forward(self, image):
        return self.layers(image)


def test_the_caller_s_segmenter_is_left_alone():
    """A loop that goes on training it finds it as it was; the scores are those of evaluation mode all the same."""
    segmenter = Batched()
    segmenter.layers[1].eval()  # as somebody who fine-tunes does
    modes = [module.training for module in segmenter.modules()]
    state = {name: value.clone() for name, value in segmenter.state_dict().items()}
    network, image = AdaptiveSegmenter(segmenter).train(), torch.rand(2, 3, 8, 8)
    scores, again = network(image), network(image)
    assert torch.equal(scores, again)
    assert not scores.requires_grad
    assert [module.training for module in segmenter.modules()] == modes
    assert all(parameter.requires_grad for parameter in segmenter.parameters())
    assert all(torch.equal(value, state[name]) for name, value in segmenter.state_dict().items())
    segmenter.train()(image).sum().backward()
    assert all(parameter.grad is not None for parameter in segmenter.parameters())
    assert torch.equal(AdaptiveSegmenter(segmenter.eval()).segment(image), segmenter(image).detach())


def test_an_error_in_the_segmenter_leaves_its_mode():
    segmenter = Batched()
    with pytest.raises(RuntimeError):
        AdaptiveSegmenter(segmenter)(torch.rand(2, 5, 8, 8))
    assert all(module.training for module in segmenter.modules())
