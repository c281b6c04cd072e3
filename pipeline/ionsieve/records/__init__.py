"""What flows between the stages: small, frozen, versioned records, one topic a file."""

from ionsieve.records.base import Frozen as Frozen
from ionsieve.records.base import Record as Record
from ionsieve.records.candidate import Candidate as Candidate
from ionsieve.records.candidate import Check as Check
from ionsieve.records.candidate import Configuration as Configuration
from ionsieve.records.candidate import GeneratedCandidate as GeneratedCandidate
from ionsieve.records.candidate import SiteChange as SiteChange
from ionsieve.records.channels import Bottleneck as Bottleneck
from ionsieve.records.channels import Gate as Gate
from ionsieve.records.channels import StaticDescriptors as StaticDescriptors
from ionsieve.records.estimate import Estimate as Estimate
from ionsieve.records.files import FileReference as FileReference
from ionsieve.records.measurement import ArrheniusFit as ArrheniusFit
from ionsieve.records.measurement import CandidateEstimate as CandidateEstimate
from ionsieve.records.measurement import CrystalState as CrystalState
from ionsieve.records.measurement import Curve as Curve
from ionsieve.records.measurement import GateMotion as GateMotion
from ionsieve.records.measurement import Measurement as Measurement
from ionsieve.records.ranking import RankedCandidate as RankedCandidate
from ionsieve.records.ranking import Ranking as Ranking
from ionsieve.records.simulation import PotentialIdentity as PotentialIdentity
from ionsieve.records.simulation import RelaxedConfiguration as RelaxedConfiguration
from ionsieve.records.simulation import Run as Run
from ionsieve.records.simulation import RunRecord as RunRecord
from ionsieve.records.simulation import RunSummary as RunSummary
from ionsieve.records.structure import CrystalStructure as CrystalStructure
