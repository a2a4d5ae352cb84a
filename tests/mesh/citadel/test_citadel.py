"""Who gets a certificate, for which name, and how a root is replaced."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import verification

from mesh.citadel.authority import make_authority, new_key, pem
from mesh.citadel.citadel import Citadel, Issued, RefusedError, SigningRequest
from mesh.citadel.identity import spiffe_id
from mesh.citadel.tokens import LIFETIME, TokenError, Tokens

CUSTOMER, PREFERENCE = spiffe_id("tutorial", "customer"), spiffe_id("tutorial", "preference")
NODES = {"a": CUSTOMER, "b": PREFERENCE}


class Clock:
    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def citadel(tmp_path: Path, clock: Clock) -> Citadel:
    return Citadel(tmp_path / "citadel", NODES.get, now=clock)


def csr(key: ec.EllipticCurvePrivateKey, *uris: str) -> str:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    if uris:
        names = [x509.UniformResourceIdentifier(uri) for uri in uris]
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=True)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM).decode()


def by_token(citadel: Citadel, node: str, *uris: str) -> tuple[ec.EllipticCurvePrivateKey, Issued]:
    key = new_key()
    request = SigningRequest(csr(key, *uris), citadel.tokens.mint(node))
    return key, citadel.issue(request)


def by_certificate(old: ec.EllipticCurvePrivateKey, issued: Issued) -> SigningRequest:
    text = csr(new_key())
    signature = old.sign(text.encode(), ec.ECDSA(hashes.SHA256()))
    return SigningRequest(text, certificate=issued.chain, signature=signature)


def leaf(issued: Issued) -> x509.Certificate:
    return x509.load_pem_x509_certificate(issued.chain.encode())


def names(certificate: x509.Certificate) -> list[str]:
    found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert found.critical
    return found.value.get_values_for_type(x509.UniformResourceIdentifier)


def verify(issued: Issued, roots: str, when: datetime) -> None:
    store = verification.Store(x509.load_pem_x509_certificates(roots.encode()))
    chain = x509.load_pem_x509_certificates(issued.chain.encode())
    verifier = verification.PolicyBuilder().store(store).time(when).build_client_verifier()
    verifier.verify(chain[0], chain[1:])


def test_a_certificate_names_the_service_account_and_leads_to_the_root(
    citadel: Citadel, clock: Clock
) -> None:
    _, issued = by_token(citadel, "a", CUSTOMER)
    assert names(leaf(issued)) == [CUSTOMER]
    verify(issued, issued.roots, clock.now)
    assert issued.lifetime == 24 * 3600
    assert leaf(issued).not_valid_after_utc - clock.now == timedelta(hours=24)
    assert leaf(issued).not_valid_before_utc < clock.now
    with pytest.raises(verification.VerificationError):
        verify(issued, issued.roots, clock.now + timedelta(hours=25))


def test_a_token_is_good_once_for_one_node_and_not_for_long(citadel: Citadel, clock: Clock) -> None:
    request = SigningRequest(csr(new_key()), citadel.tokens.mint("b"))
    assert names(leaf(citadel.issue(request))) == [PREFERENCE]
    with pytest.raises(RefusedError, match="used before"):
        citadel.issue(request)
    late = SigningRequest(csr(new_key()), citadel.tokens.mint("a"))
    clock.now += timedelta(seconds=LIFETIME)
    with pytest.raises(RefusedError, match="expired"):
        citadel.issue(late)
    foreign = Tokens(lambda: clock.now.timestamp()).mint("a")
    with pytest.raises(RefusedError, match="not issued"):
        citadel.issue(SigningRequest(csr(new_key()), foreign))


def test_a_changed_token_is_refused() -> None:
    tokens = Tokens(lambda: 0.0)
    body, _, signature = tokens.mint("a").partition(".")
    other = Tokens(lambda: 0.0).mint("b").partition(".")[0]
    for forged in (f"{other}.{signature}", f"{body}.", body, "", ".", f"{body}.é"):
        with pytest.raises(TokenError):
            tokens.take(forged)


def test_nobody_gets_a_certificate_for_another_name(citadel: Citadel) -> None:
    with pytest.raises(
        RefusedError, match=r"not spiffe://cluster\.local/ns/tutorial/sa/preference"
    ):
        by_token(citadel, "a", PREFERENCE)
    with pytest.raises(RefusedError, match="not registered"):
        by_token(citadel, "stranger")


def test_a_request_has_to_be_well_made(citadel: Citadel) -> None:
    with pytest.raises(RefusedError, match="no certificate signing request"):
        citadel.issue(SigningRequest("nonsense", citadel.tokens.mint("a")))
    weak = rsa.generate_private_key(65537, 2048)
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    text = builder.sign(weak, hashes.SHA256()).public_bytes(Encoding.PEM).decode()
    with pytest.raises(RefusedError, match="EC key"):
        citadel.issue(SigningRequest(text, citadel.tokens.mint("a")))
    with pytest.raises(RefusedError, match="neither a token nor"):
        citadel.issue(SigningRequest(csr(new_key())))


def test_a_certificate_asks_for_the_next_one(citadel: Citadel) -> None:
    key, issued = by_token(citadel, "a")
    assert names(leaf(citadel.issue(by_certificate(key, issued)))) == [CUSTOMER]
    with pytest.raises(RefusedError, match="not signed with the key"):
        citadel.issue(by_certificate(new_key(), issued))
    wrong = replace(by_certificate(key, issued), csr=csr(new_key()))
    with pytest.raises(RefusedError, match="not signed with the key"):
        citadel.issue(wrong)
    citadel.forget("a")
    with pytest.raises(RefusedError, match="not one of the last two"):
        citadel.issue(by_certificate(key, issued))


def test_a_certificate_of_another_authority_does_not_ask(citadel: Citadel, clock: Clock) -> None:
    foreign, key = make_authority("other root", clock.now), new_key()
    begin, end = clock.now, clock.now + timedelta(hours=1)
    chain = pem(foreign.sign(key.public_key(), (CUSTOMER,), begin, end)).decode()
    with pytest.raises(RefusedError, match="not one of the last two"):
        citadel.issue(by_certificate(key, Issued(chain, "", 1, 1)))


def test_a_restarted_control_plane_keeps_its_authority(
    citadel: Citadel, tmp_path: Path, clock: Clock
) -> None:
    again = Citadel(tmp_path / "citadel", NODES.get, now=clock)
    assert again.roots == citadel.roots
    verify(by_token(again, "a")[1], citadel.roots, clock.now)
    files = list((tmp_path / "citadel").iterdir())
    assert [file.stat().st_mode & 0o777 for file in files] == [0o600]


async def follow(citadel: Citadel, node: str, seen: list[tuple[str, Issued]]) -> None:
    """An agent: takes over each generation, and says so."""
    generation = 1
    while True:
        await citadel.newer(node, generation)
        _, issued = by_token(citadel, node)
        seen.append((node, issued))
        generation = issued.generation


def run(work: Callable[[list[tuple[str, Issued]]], object], citadel: Citadel) -> None:
    async def main() -> None:
        seen: list[tuple[str, Issued]] = []
        agents = [asyncio.create_task(follow(citadel, node, seen)) for node in NODES]
        await asyncio.sleep(0)
        result = work(seen)
        assert asyncio.iscoroutine(result)
        await result
        for agent in agents:
            agent.cancel()

    asyncio.run(main())


def test_during_a_rotation_every_pair_of_sidecars_agrees(citadel: Citadel, clock: Clock) -> None:
    async def work(seen: list[tuple[str, Issued]]) -> None:
        seen += [(node, by_token(citadel, node)[1]) for node in NODES]
        before = citadel.roots
        await citadel.rotate()
        assert citadel.issuing.name == "mesh lab root 2"
        assert citadel.roots.startswith(before)
        await citadel.finish()
        assert "mesh lab root 1" not in [each.name for each in citadel.authorities]
        assert before not in citadel.roots
        # Sidecars are at most one generation apart.
        by_number: dict[int, list[Issued]] = {}
        for _, issued in seen:
            by_number.setdefault(issued.generation, []).append(issued)
        assert sorted(by_number) == [1, 2, 3, 4]
        for number, those in by_number.items():
            for one in those:
                for other in [*those, *by_number.get(number + 1, [])]:
                    verify(one, other.roots, clock.now)
                    verify(other, one.roots, clock.now)
        with pytest.raises(verification.VerificationError):
            verify(by_number[1][0], by_number[4][0].roots, clock.now)

    run(work, citadel)


def test_a_rotation_waits_for_every_agent_and_for_no_pod_that_is_gone(citadel: Citadel) -> None:
    async def main() -> None:
        agent = asyncio.create_task(citadel.newer("a", 1))
        await asyncio.sleep(0)
        renewal = asyncio.create_task(citadel.renew_all())
        assert await agent == 2
        await asyncio.sleep(0)
        assert not renewal.done()
        citadel.forget("a")
        await renewal

    asyncio.run(main())
