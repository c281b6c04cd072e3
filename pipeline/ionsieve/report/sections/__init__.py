"""The parts of the page, in reading order: each draws its part of the view and computes nothing."""

from ionsieve.report.kit import Section as Section
from ionsieve.report.sections import candidates, comparison, conductivity, flags, methods, ranking, summary

__all__ = ["ORDER", "Section"]

ORDER = (summary, ranking, conductivity, comparison, candidates, flags, methods)
