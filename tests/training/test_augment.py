"""Making one drawing look like many."""

import torch

from workers.training.augment import augment_drawings, augment_photos


def drawings(count: int) -> torch.Tensor:
    """Red discs on nothing."""
    ramp = torch.linspace(-1, 1, 48)
    disc = ((ramp[:, None] ** 2 + ramp**2) < 0.5).to(torch.uint8) * 255
    return torch.stack([disc, disc * 0, disc * 0, disc]).expand(count, 4, 48, 48).contiguous()


def test_the_generator_decides_everything() -> None:
    """The same generator gives the same pictures, another one others."""
    first, again, other = (
        augment_drawings(drawings(4), 32, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_pictures_stay_pictures() -> None:
    """Whatever is drawn, the result is [B, 3, size, size] between 0 and 1, and finite."""
    generator = torch.Generator().manual_seed(0)
    photos = torch.randint(0, 256, (16, 3, 32, 32), generator=generator, dtype=torch.uint8)
    for pictures in (
        augment_drawings(drawings(16), 40, generator),
        augment_photos(photos, 40, generator),
    ):
        assert pictures.shape == (16, 3, 40, 40)
        assert pictures.isfinite().all()
        assert pictures.min() >= 0
        assert pictures.max() <= 1


def test_the_drawing_stays_visible() -> None:
    """In most pictures the disc's red is there: augmentation changes a drawing, not its subject."""
    pictures = augment_drawings(drawings(64), 40, torch.Generator().manual_seed(0))
    centre = pictures[:, :, 16:24, 16:24].mean(dim=(2, 3))
    reddish = (centre[:, 0] > centre[:, 1] + 0.1).float().mean()
    assert reddish > 0.7
