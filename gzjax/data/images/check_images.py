"""Checks many images once, in threads."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from gzjax.data.images.files import NUM_THREADS
from gzjax.errors import Problems

_CHUNK = 64  # images a thread takes at a time


def check_images(
    check: Callable[[int], str | None],
    keys: Sequence[int],
    problems: Problems,
    unit: str,
    name: Callable[[int], object] = int,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Notes the bad images in ``problems``, kind by kind.

    Args:
        check: returns what is wrong with the image of a key, or None.
        keys: of the images.
        problems: gets a line per kind.
        unit: what ``name`` returns, for the messages.
        name: returns what a message calls the image of a key.
        progress: called now and then with (images checked, images in all).
    """
    chunks = [keys[i : i + _CHUNK] for i in range(0, len(keys), _CHUNK)]
    done = 0
    with ThreadPoolExecutor(NUM_THREADS) as pool:
        results = pool.map(lambda chunk: list(map(check, chunk)), chunks)
        for chunk, found in zip(chunks, results, strict=True):
            for key, problem in zip(chunk, found, strict=True):
                if problem:
                    problems.add(f"images: {problem}", unit, [name(key)])
            done += len(chunk)
            if progress is not None:
                progress(done, len(keys))
