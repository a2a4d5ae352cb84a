"""Two copies of the kit on one Docker: neither removes the image that the other uses."""

import io
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from docker.client import DockerClient

from mesh.testbed.compose import docker as engine
from mesh.testbed.compose import image
from tests.compose.needs import DOCKER

pytestmark = [pytest.mark.compose, DOCKER]


@pytest.fixture
def docker(monkeypatch: pytest.MonkeyPatch) -> Iterator[DockerClient]:
    """A Docker whose images of the kit are empty ones, in a repository of this test."""
    client = engine.client()
    repository = f"mesh-lab-test-{secrets.token_hex(4)}"

    def build(target: str, tag: str) -> None:
        text = f"FROM scratch\nLABEL of={tag}\n".encode()
        client.images.build(fileobj=io.BytesIO(text), tag=tag, rm=True)

    monkeypatch.setattr(image, "REPOSITORY", repository)
    monkeypatch.setattr(image, "_build", build)
    yield client
    for each in client.images.list(repository):
        client.images.remove(each.id, force=True)
    client.close()


def test_what_another_copy_uses_stays(
    docker: DockerClient, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MESH_LAB_HOME", str(tmp_path))
    said: list[str] = []

    def ensure(copy: str, content: str) -> str:
        marked = f"used-by-{copy * 12}"
        monkeypatch.setattr(image, "mark", lambda: marked)
        monkeypatch.setattr(image, "digest", lambda: content * 12)
        return image.ensure(docker, image.KIT_TARGET, said.append)

    def there() -> set[str]:
        found = {tag for each in docker.images.list(image.REPOSITORY) for tag in each.tags}
        return {tag for tag in found if "used-by" not in tag}

    first = ensure("a", "1")
    assert ensure("b", "1") == first  # the same kit
    assert len(said) == 1
    second = ensure("a", "2")
    assert there() == {first, second}
    assert ensure("b", "1") == first
    assert len(said) == 2  # nothing was built again
    third = ensure("a", "3")
    assert there() == {first, third}
    fourth = ensure("b", "4")
    assert there() == {third, fourth}
