# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The pieces of ``make demo-3d`` on a generated head, with a network of two lines in place of deepbet's."""

from __future__ import annotations

from itertools import islice

import nibabel
import numpy as np
import pytest
import torch
from monai.data import MetaTensor
from monai.transforms import GaussianSmooth
from PIL import Image

from monai_coat.calibration import load_calibration
from monai_coat.functional import float32_below
from monai_coat.transforms import CertaintyLabels
from tutorials import demo_3d

SIZE = (28, 32, 24)


@pytest.fixture
def head(tmp_path):
    """A bright ellipsoid in a darker one, with voxels of 3 mm and axes towards left, posterior, superior."""
    places = np.stack(np.meshgrid(*(np.linspace(-1, 1, length) for length in SIZE), indexing="ij"))
    radius = np.linalg.norm(places, axis=0)
    values = np.select([radius < 0.55, radius < 0.85], [200.0, 60.0], 0.0)
    nibabel.save(nibabel.Nifti1Image(values.astype(np.float32), np.diag([-3.0, -3.0, 3.0, 1.0])), tmp_path / "head.nii")
    return tmp_path / "head.nii"


def network(volume):
    smooth = GaussianSmooth(1.5)(volume.as_tensor())
    return MetaTensor(((smooth / smooth.quantile(0.99) - 0.6) * 12).sigmoid(), meta=volume.meta)


def mask_of(volume):
    return MetaTensor((volume.as_tensor() > 130).float(), meta=volume.meta)


def test_masks_are_deformed_as_their_heads_are(head):
    volume = demo_3d.prepared(head)
    assert volume.affine.diag().tolist() == [2, 2, 2, 1]
    mask = mask_of(volume)
    for image, label in islice(demo_3d.deformed(volume, mask, seed=1), 3):
        inside, outside = image[label].median(), image[~label & (image > 30)].median()
        assert inside > 1.5 * outside  # the bright ellipsoid went where its mask went
        assert 0.5 < label.sum() / mask.sum() < 2
        assert not torch.equal(label, mask.bool())


def test_seeds_make_the_same_heads(head):
    volume = demo_3d.prepared(head)
    (first, _), (again, _), (other, _) = (next(demo_3d.deformed(volume, mask_of(volume), seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_the_demonstration_says_what_it_shows_and_writes_it(head, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(demo_3d, "ALPHA", 0.2)  # for which twelve heads are enough
    demo_3d.run(network, head, tmp_path / "out", (12, 2))
    said = " ".join(capsys.readouterr().out.split())
    for words in ("One subject shows, and cannot calibrate", "12 deformations of the one head are generated"):
        assert words in said
    assert "nothing is promised about other people" in said
    assert "calibration 12/12, about 0 s left" in said
    results = [load_calibration(tmp_path / "out" / f"{name}.json") for name in ("possible", "certain")]
    assert [result.n for result in results] == [(12,), (12,)]
    assert all(result.guarantee in said for result in results)
    volume = demo_3d.prepared(head)
    for name in ("head_as_it_is", "a_deformation"):
        probs, certainty = (nibabel.load(tmp_path / "out" / f"{name}_{kind}.nii.gz") for kind in ("probs", "certainty"))
        assert np.allclose(certainty.affine, volume.affine)
        scores = float32_below(torch.tensor(probs.get_fdata(), dtype=torch.float32))
        labels = torch.tensor(certainty.get_fdata())
        possible, certain = ((scores >= result.cutoff[0]) for result in results)
        assert torch.equal(CertaintyLabels(("brain",)).possible(labels)[0], possible)
        assert torch.equal(CertaintyLabels(("brain",)).certain(labels)[0], certain & possible)
        assert (certain & possible).any()
        assert not possible.all()
        with Image.open(tmp_path / "out" / f"{name}.png") as picture:
            assert picture.size[0] > 500


def test_a_machine_without_a_head_is_told_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(demo_3d, "DEBIAN", tmp_path / "none")
    monkeypatch.setattr(demo_3d, "NILEARN", "none")
    with pytest.raises(FileNotFoundError, match=r"install Debian's mricron-data .* or name .* by --volume"):
        demo_3d.find_volume()
    (tmp_path / "none").touch()
    assert demo_3d.find_volume()[0] == tmp_path / "none"
