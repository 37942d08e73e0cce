"""A galaxy's picture in the manner of an SDSS colour cutout.

Lengths are pixels of the original 424 px frame, angles radians, light is linear with 1
near the brightest displayable value. The light is collected on three planes (old stars,
young stars, glowing gas), each of which has one colour.
"""

import functools
import math
import statistics

import cv2
import numpy as np

from gzjax.data.geometry import FRAME_PX
from gzjax.data.synthetic.galaxy import Galaxy

_OLD, _YOUNG, _GAS = np.eye(3, dtype=np.float32)
# Red, green and blue (rows) of old stars, young stars and gas (columns).
_COLOURS = np.float32([[1.25, 0.70, 0.25], [0.98, 0.95, 1.20], [0.77, 1.35, 0.55]])
# Random bytes to Gaussian noise, ten times as fast as drawing it.
_NORMAL = np.float32(
    [statistics.NormalDist().inv_cdf((byte + 0.5) / 256) for byte in range(256)]
)


def render(galaxy: Galaxy, rng: np.random.Generator, size_px: int) -> np.ndarray:
    """Returns a square picture of a galaxy and its surroundings, uint8 RGB.

    It always covers the 424 px frame. ``rng`` decides what no question asks for: the
    angle of the bar, the stars of the field, the noise. The pixel noise is drawn last,
    so that one state of ``rng`` gives the same sky at every size.
    """
    sky = np.zeros((3, size_px, size_px), np.float32)
    u, v = _along_axes(galaxy, *_grid(size_px))
    if galaxy.star < 1:
        _paint_body(sky, galaxy, rng, u, v)
        if paint_oddity := _ODDITIES.get(galaxy.oddity):
            paint_oddity(sky, galaxy, rng, u, v)
        sky *= galaxy.brightness * (1 - galaxy.star)
    if galaxy.star:
        _paint_star(sky, galaxy, u, v)
    _paint_field(sky, galaxy, rng)
    return _expose(sky, galaxy, rng)


@functools.lru_cache(maxsize=4)
def _grid(size_px: int) -> tuple[np.ndarray, np.ndarray]:
    at = (np.arange(size_px, dtype=np.float32) + 0.5) / size_px - 0.5
    x, y = np.meshgrid(at * FRAME_PX, at * FRAME_PX)
    x.setflags(write=False)
    y.setflags(write=False)
    return x, y


def _along_axes(galaxy, x, y):
    """Coordinates along the major and the minor axis; bent if disturbed."""
    c, s = math.cos(galaxy.angle), math.sin(galaxy.angle)
    u = np.float32(c) * x + np.float32(s) * y
    v = np.float32(c * galaxy.sense) * y - np.float32(s * galaxy.sense) * x
    if bend := galaxy.odd("disturbed"):
        v += np.float32(0.6 * bend / galaxy.radius) * u * u
        u += np.float32(0.35 * bend * galaxy.radius)
    return u, v


def _paint_body(sky, galaxy, rng, u, v):
    spheroid, disk = 1 - galaxy.disk, galaxy.disk
    r, theta = cv2.cartToPolar(u, v / np.float32(galaxy.axis_ratio))
    # Sersic's law with n = 2 and a softened centre: log I = a - b sqrt(r).
    scale = 17 / galaxy.radius
    sky[0] += spheroid * np.exp(1.3 - np.sqrt((r + 1.5) * np.float32(scale)))
    if disk > 0.02:
        _paint_disk(sky, galaxy, rng, r, theta, disk)
        _paint_bulge(sky, galaxy, u, v, disk)


def _paint_disk(sky, galaxy, rng, r, theta, share):
    radius, irregular = galaxy.radius, galaxy.odd("irregular")
    disk = np.exp(r * np.float32(-2.6 / radius))
    disk *= share * 0.5 * (1 + galaxy.edge_on) * (1 - 0.6 * irregular)
    contrast = galaxy.arm_contrast * (1 - galaxy.edge_on)
    theta = theta - np.float32(rng.uniform(0, math.pi))
    if galaxy.arms and contrast > 0.02:
        sky[1] += 2.2 * contrast * disk * _arms(galaxy, r, theta)
        disk *= 1 - 0.75 * contrast
    sky[0] += galaxy.warmth * disk
    sky[1] += (1 - galaxy.warmth) * disk
    if galaxy.bar:
        sky[0] += share * galaxy.bar * _bar(radius, r, theta)


def _arms(galaxy, r, theta):
    # A logarithmic spiral has theta = ln(r) / tan(pitch): its arms cross every circle
    # under one angle. They begin at the end of the bar, a quarter of the radius out.
    start = 0.28 * galaxy.radius
    turn = np.log(r / np.float32(start) + np.float32(0.05))
    phase = (theta - turn / np.float32(math.tan(math.radians(galaxy.pitch)))) * (
        np.float32(galaxy.arms)
    )
    width = max(1.6, 6 / galaxy.arms)
    ridge = np.exp(np.float32(width) * (np.cos(phase) - 1))
    return ridge * (1 + 1.6 * r / galaxy.radius) / (1 + np.exp(8 - 8 * r / start))


def _bar(radius, r, theta):
    along, across = cv2.polarToCart(r / np.float32(0.3 * radius), theta)
    return 0.75 * np.exp(-np.square(along * along) - np.square(across * 4))


def _paint_bulge(sky, galaxy, u, v, share):
    if galaxy.bulge < 0.02:
        return
    size = galaxy.radius * (0.03 + 0.22 * galaxy.bulge)
    v = v / np.float32(max(galaxy.axis_ratio, 0.75))
    ball = np.exp(-np.sqrt(u * u + v * v + 1) / np.float32(size))
    boxy = galaxy.boxy * galaxy.edge_on
    light = (1 - boxy) * ball
    if boxy > 0.02:
        wide, high = u * u / (1.9 * size) ** 2, v * v / (1.6 * size) ** 2
        light += 0.45 * boxy * np.exp(-wide * wide - high * high)
    sky[0] += share * (0.5 + 1.5 * galaxy.bulge) * light


def _paint_ring(sky, galaxy, rng, u, v):
    r = cv2.magnitude(u, v / np.float32(galaxy.axis_ratio)) / galaxy.radius
    sky *= 1 - 0.6 * galaxy.odd_strength * np.exp(-(((r - 0.5) / 0.2) ** 2))
    sky[1] += 0.5 * galaxy.odd_strength * np.exp(-(((r - 0.85) / 0.09) ** 2))


def _paint_lens(sky, galaxy, rng, u, v):
    r, theta = cv2.cartToPolar(u, v)
    middle = np.cos(theta - np.float32(rng.uniform(0, 2 * math.pi)))
    ridge = ((r - 0.95 * galaxy.radius) / 4) ** 2
    sky[1] += 1.1 * galaxy.odd_strength * np.exp(4 * (middle - 1) - ridge)


def _paint_disturbed(sky, galaxy, rng, u, v):
    tail = np.exp(-((v / (0.13 * galaxy.radius)) ** 2) - np.abs(u) / galaxy.radius)
    sky[1] += 0.35 * galaxy.odd_strength * tail * (u > 0)


def _paint_irregular(sky, galaxy, rng, u, v):
    for x, y in rng.normal(0, 0.4 * galaxy.radius, (9, 2)).tolist():
        width = galaxy.radius * rng.uniform(0.04, 0.11)
        light = galaxy.odd_strength * rng.uniform(0.2, 0.6)
        _spot(sky, x, y, width, light * _YOUNG)


def _paint_other(sky, galaxy, rng, u, v):
    away, angle = 0.8 * galaxy.radius, rng.uniform(0, 2 * math.pi)
    for x, y in rng.normal(0, 0.18 * galaxy.radius, (4, 2)).tolist():
        x, y = x + away * math.cos(angle), y + away * math.sin(angle)
        _spot(sky, x, y, 0.15 * galaxy.radius, 0.35 * galaxy.odd_strength**2 * _GAS)


def _paint_merger(sky, galaxy, rng, u, v):
    away, angle = galaxy.radius * rng.uniform(0.5, 0.95), rng.uniform(0, 2 * math.pi)
    x, y = away * math.cos(angle), away * math.sin(angle)
    # The second galaxy points at the first, as a tide would have it.
    c, s = np.float32(math.cos(angle)), np.float32(math.sin(angle))
    p, q = c * (u - x) + s * (v - y), c * (v - y) - s * (u - x)
    r = cv2.magnitude(p, q * np.float32(1.5))
    light = np.exp(1.3 - np.sqrt((r + 1.5) * np.float32(24 / galaxy.radius)))
    sky[0] += galaxy.odd_strength * light


def _paint_dust(sky, galaxy, rng, u, v):
    width = 0.05 * galaxy.radius
    lane = np.exp(-((v / width) ** 2) - (u / galaxy.radius) ** 4)
    sky *= 1 - 0.92 * galaxy.odd_strength * lane


_ODDITIES = {
    "ring": _paint_ring,
    "lens_or_arc": _paint_lens,
    "disturbed": _paint_disturbed,
    "irregular": _paint_irregular,
    "other": _paint_other,
    "merger": _paint_merger,
    "dust_lane": _paint_dust,
}


def _paint_star(sky, galaxy, u, v):
    halo = 1 / (1 + (u * u + v * v) / 30) ** 1.5
    spikes = sum(
        np.exp(-np.abs(a) / np.float32(galaxy.radius / 2) - (b / 1.8) ** 2)
        for a, b in ((u, v), (v, u))
    )
    sky[:2] += 6 * galaxy.star * (halo + 0.15 * spikes)


def _paint_field(sky, galaxy, rng):
    """Adds stars, and small galaxies far behind."""
    count = rng.poisson(7)
    places = rng.uniform(-FRAME_PX / 2, FRAME_PX / 2, (count, 2))
    for x, y in places.tolist():
        width = float(rng.choice((0.8, 0.8, 3.0)))
        light = math.exp(rng.uniform(-2.5, 0.3)) / width
        mix = rng.uniform(0, 1)
        if math.hypot(x, y) > 0.9 * galaxy.radius:
            _spot(sky, x, y, width + galaxy.seeing, light * (mix * _OLD + _YOUNG))


def _spot(sky, x, y, width, light):
    """Adds a round Gaussian of ``light`` [3] at its centre, given in frame pixels."""
    size = sky.shape[-1]
    scale = size / FRAME_PX
    column, row = ((p + FRAME_PX / 2) * scale - 0.5 for p in (x, y))
    reach = 3.5 * width * scale + 1
    cuts, bells = [], []
    for centre in (row, column):
        cut = slice(max(0, int(centre - reach)), max(0, int(centre + reach) + 1))
        at = np.arange(size, dtype=np.float32)[cut]
        cuts.append(cut)
        bells.append(np.exp(-0.5 * ((at - centre) / (width * scale)) ** 2))
    sky[:, cuts[0], cuts[1]] += light[:, None, None] * np.multiply.outer(*bells)


def _expose(sky, galaxy, rng):
    """Adds blur, colour, stretch, sky level and noise."""
    size = sky.shape[-1]
    scale = size / FRAME_PX
    rgb = cv2.transform(cv2.merge(list(sky)), _COLOURS)
    rgb = cv2.GaussianBlur(rgb, (0, 0), galaxy.seeing * scale)
    # Lupton et al. (2004): one asinh stretch of the intensity keeps the colours.
    light = cv2.transform(rgb, np.full((1, 3), 1 / 3)) + np.float32(1e-6)
    rgb *= (np.arcsinh(8 * light) / (math.asinh(8) * light))[..., None]
    noise = np.frombuffer(rng.bytes(rgb.size), np.uint8).reshape(rgb.shape)
    # A pixel of a smaller picture averages over more of the frame.
    rgb += cv2.LUT(noise, _NORMAL * (galaxy.noise * scale) + galaxy.background)
    _, rgb = cv2.threshold(rgb, 0, 0, cv2.THRESH_TOZERO)
    return cv2.convertScaleAbs(rgb, alpha=255)
