"""What the user asks: one YAML file that composes the rooms' own settings.

campaign = load_campaign("workflows/quickstart.yaml")
"""

from ionsieve.campaign.model import Campaign as Campaign
from ionsieve.campaign.model import RunSettings as RunSettings
from ionsieve.campaign.model import SimulationPlan as SimulationPlan
from ionsieve.campaign.reading import find_campaign as find_campaign
from ionsieve.campaign.reading import load_campaign as load_campaign
from ionsieve.campaign.reading import located as located
from ionsieve.campaign.reading import parse_campaign as parse_campaign
from ionsieve.campaign.reading import thaw_campaign as thaw_campaign
