import pytest

from ionsieve.report import CampaignResults, ReportView, build_view
from ionsieve.testing.synthetic_campaign import synthetic_campaign


@pytest.fixture(scope="session")
def results() -> CampaignResults:
    return synthetic_campaign(24)


@pytest.fixture(scope="session")
def view(results: CampaignResults) -> ReportView:
    return build_view(results)
