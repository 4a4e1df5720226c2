"""Helm 3 and Helm 4, each in turn."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.helm.chart import ROOT, Helm


@pytest.fixture(params=["3", "4"])
def helm(request: pytest.FixtureRequest) -> Helm:
    """A Helm binary of each major version, from where scripts/setup_helm.sh put them."""
    return find(request.param)


@pytest.fixture
def helm4() -> Helm:
    """Helm 4 alone, for what does not depend on the version, or what Helm 3 cannot do without a cluster."""
    return find("4")


def find(major: str) -> Helm:
    """Helm of a major version, or a skip."""
    binary = Path(os.environ.get("KVWATCH_HELM", ROOT / ".cache" / "helm")) / major / "helm"
    if not binary.is_file():
        pytest.skip(f"{binary} is missing; make setup-helm fetches it")
    return Helm(binary)
