"""The 24 snippets of the lecture, as printed: what is wrong with each, where, and after ``fix``.

The table says per snippet in which era it belongs and what the kit says about it as printed; the
texts are read where the folder of the lecture is given (MESH_LAB_LECTURE, or ../shared/lecture
beside the project).  ``OWN`` repeats each kind of defect in a few lines of the kit's own, so that
the same is tested everywhere.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from mesh.istio import era, has_errors, load_text, validate
from mesh.istio.analyze.files import check_text
from mesh.istio.fix import repair

_PROJECT = Path(__file__).resolve().parents[2]
FOLDER = Path(
    os.environ.get("MESH_LAB_LECTURE", _PROJECT.parent / "shared" / "lecture" / "snippets")
)
REFUSED = ("KIT0001", "KIT0004", "KIT0005", "KIT0006", "IST0106")
CLEAN: tuple[tuple[str, int], ...] = ()

APIVERSION = ("KIT0005", 1)
KIND = ("KIT0004", 1)
NAME = ("IST0106", 3)


@dataclass(frozen=True)
class Row:
    """A snippet: (code, line) of everything that refuses it, the kind that it is after ``fix``."""

    refused: tuple[tuple[str, int], ...]
    kind: str
    era: str = "istio-1.0"


TABLE = {
    "01-destination-rule-subsets": Row(CLEAN, "DestinationRule"),
    "02-virtual-service-original-launch": Row((("KIT0001", 9),), "VirtualService"),
    "03-virtual-service-canary-90-10": Row((("IST0106", 14), ("IST0106", 18)), "VirtualService"),
    "04-virtual-service-dark-launch-mirror": Row((("KIT0001", 9),), "VirtualService"),
    "05-service-b-route-all-v1": Row((KIND, APIVERSION, NAME), "VirtualService"),
    "06-service-b-canary-90-10": Row(
        (KIND, APIVERSION, NAME, ("IST0106", 12), ("IST0106", 16)), "VirtualService"
    ),
    "07-service-b-mirror": Row((("KIT0001", 13),), "VirtualService"),
    "08-destination-rule-lb-random": Row(CLEAN, "DestinationRule"),
    "09-virtual-service-timeout": Row((("IST0106", 14),), "VirtualService"),
    "10-virtual-service-retry": Row((("KIT0001", 9),), "VirtualService"),
    "11-legacy-istio-circuit-breaker": Row((("KIT0001", 1),), "DestinationRule"),
    "12-linkerd-failure-accrual": Row((("KIT0004", 1),), "DestinationRule"),
    "13-destination-rule-circuit-breaker-v2": Row(CLEAN, "DestinationRule"),
    "14-virtual-service-delay-7s-50": Row(CLEAN, "VirtualService"),
    "15-service-c-circuit-breaker": Row((("KIT0001", 2),), "DestinationRule"),
    "16-service-b-outlier-detection": Row((("KIT0001", 2),), "DestinationRule"),
    "17-service-b-timeout-10s": Row((KIND, APIVERSION, NAME), "VirtualService"),
    "19-service-b-retry-policy": Row((APIVERSION, NAME, ("IST0106", 11)), "VirtualService"),
    "21-service-b-chaos-delay-10s": Row((KIND, APIVERSION, NAME), "VirtualService"),
    "22-mtls-policy": Row(CLEAN, "Policy"),
    "23-mtls-destination-rule": Row((("IST0106", 7),), "DestinationRule"),
    "24-egress-virtual-service-mesh-part": Row((("KIT0001", 14),), "VirtualService"),
    "25-egress-virtual-service-gateway-part": Row((("KIT0004", 1),), "VirtualService"),
    "26-service-role-binding": Row(CLEAN, "ServiceRoleBinding"),
}

_VS = (
    "apiVersion: networking.istio.io/v1alpha3\nkind: VirtualService\nmetadata:\n  name: a\nspec:\n"
)
_DEST = "    - route:\n        - destination:\n            host: a\n"

OWN = {
    "http below hosts": Row((("KIT0001", 8),), "VirtualService"),
    "weight in destination": Row((("IST0106", 11),), "VirtualService"),
    "timeout in destination": Row((("IST0106", 11),), "VirtualService"),
    "retries beside http": Row((("IST0106", 11),), "VirtualService"),
    "kind in small letters": Row((KIND, APIVERSION, NAME), "VirtualService"),
    "hosts of a rule, half a comment": Row((("KIT0001", 2),), "DestinationRule"),
    "numbered lines, simpleCb": Row((("KIT0001", 1),), "DestinationRule"),
    "numbered lines, failure accrual": Row((("KIT0004", 1),), "DestinationRule"),
    "placeholder": Row((("IST0106", 6),), "DestinationRule"),
    "port beside the items of match": Row((("KIT0001", 10),), "VirtualService"),
    "a rule without its object": Row((("KIT0004", 1),), "VirtualService"),
}

TEXTS = {
    "http below hosts": _VS
    + "  hosts:\n    - a\n    http:\n"
    + _DEST.replace("    - r", "      - r"),
    "weight in destination": _VS + "  hosts: [a]\n  http:\n" + _DEST + "            weight: 90\n",
    "timeout in destination": _VS + "  hosts: [a]\n  http:\n" + _DEST + "            timeout: 1s\n",
    "retries beside http": _VS + "  hosts: [a]\n  http:\n" + _DEST + "  retries: {attempts: 3}\n",
    "kind in small letters": "kind: virtualService\nmetadata:\n  name: aB\nspec:\n  hosts: [a]\n  http:\n"
    + _DEST,
    "hosts of a rule, half a comment": "# Limits the number\nof requests\nkind: DestinationRule\n"
    "metadata:\n  name: a\nspec:\n  hosts:\n  - a\n",
    "numbered lines, simpleCb": "1 destination: a.b.local policy:\n2 - tags:\n3     version: v1\n"
    "4   circuitBreaker:\n5     simpleCb:\n6       maxConnections: 1\n7       sleepWindow: 1m\n",
    "numbered lines, failure accrual": "1 - protocol: http\n2   client:\n3     failureAccrual:\n"
    "4       kind: io.l5d.consecutiveFailures\n5       failures: 3\n",
    "placeholder": "apiVersion: networking.istio.io/v1alpha3\nkind: DestinationRule\nmetadata:\n"
    '  name: a\nspec:\n  host: "*.{x}.svc.cluster.local"\n',
    "port beside the items of match": _VS
    + "  hosts: [a]\n  http:\n    - match:\n        - gateways: [mesh]\n"
    "        port: 80\n  route:\n    - destination:\n        host: a\n",
    "a rule without its object": "- match:\n  - gateways: [g]\n  port: 443\n  route:\n    - destination:\n"
    "        host: a.example\n        weight: 100\n",
}


def check(text: str, name: str, row: Row) -> None:
    the_era = era(row.era)
    found = check_text(text, name, era=the_era, namespace="tutorial").problems
    refused = [each for each in found if each.code in REFUSED]
    assert [(each.code, each.position.line) for each in refused] == list(row.refused)
    for each in refused:
        assert each.hint
        assert each.fix, "fix knows what to do"
    done = repair(text, name, era=the_era)
    assert bool(done.changes) == bool(row.refused)
    loaded = load_text(done.text, name, era=the_era, namespace="tutorial")
    assert loaded.problems == []
    assert [each.kind for each in loaded.resources] == [row.kind]
    assert not has_errors(validate(loaded.resources, the_era))
    assert repair(done.text, name, era=the_era).changes == []


@pytest.mark.skipif(not FOLDER.is_dir(), reason="the lecture's snippets are not here")
@pytest.mark.parametrize("name", TABLE)
def test_snippet_as_printed(name: str) -> None:
    check((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"), f"{name}.yaml", TABLE[name])


@pytest.mark.skipif(not FOLDER.is_dir(), reason="the lecture's snippets are not here")
def test_the_table_has_every_snippet() -> None:
    assert sorted(each.stem for each in FOLDER.glob("*.yaml")) == sorted(TABLE)


@pytest.mark.skipif(not FOLDER.is_dir(), reason="the lecture's snippets are not here")
@pytest.mark.parametrize("release", ["istio-1.9", "istio-current"])
@pytest.mark.parametrize("name", [name for name in TABLE if name[:2] != "26"])
def test_snippet_applies_in_later_eras_after_fix(name: str, release: str) -> None:
    text = (FOLDER / f"{name}.yaml").read_text(encoding="utf-8")
    done = repair(text, name, era=era(release))
    loaded = load_text(done.text, name, era=era(release), namespace="tutorial")
    assert loaded.problems == []
    found = validate(loaded.resources, era(release))
    assert [each for each in found if each.code in ("IST0106", "IST0133")] == []


@pytest.mark.parametrize("name", OWN)
def test_each_kind_of_defect(name: str) -> None:
    check(TEXTS[name], f"{name}.yaml", OWN[name])


def test_what_the_repaired_slides_mean() -> None:
    texts = {name: repair(text, name, era=era("istio-1.0")).text for name, text in TEXTS.items()}
    sources = {
        name: load_text(text, era=era("istio-1.0")).resources[0].source
        for name, text in texts.items()
    }
    assert sources["weight in destination"].value("spec.http[0].route[0].weight") == 90
    assert sources["timeout in destination"].value("spec.http[0].timeout") == "1s"
    assert sources["retries beside http"].value("spec.http[0].retries.attempts") == 3
    assert sources["port beside the items of match"].value("spec.http[0].match[0].port") == 80
    assert sources["a rule without its object"].value("spec.http[0].match[0].port") == 443
    assert sources["a rule without its object"].value("spec.hosts") == ["a.example"]
    pool = "spec.subsets[0].trafficPolicy.connectionPool.tcp.maxConnections"
    assert sources["numbered lines, simpleCb"].value(pool) == 1
    errors = "spec.trafficPolicy.outlierDetection.consecutiveErrors"
    assert sources["numbered lines, failure accrual"].value(errors) == 3
