"""From records to figures: every number that the page shows in a plot is computed here."""

from ionsieve.report.plots.arrhenius import arrhenius as arrhenius
from ionsieve.report.plots.arrhenius import overview as overview
from ionsieve.report.plots.forest import forest as forest
from ionsieve.report.plots.gates import gate_motion as gate_motion
from ionsieve.report.plots.gates import gates_against_conductivity as gates_against_conductivity
from ionsieve.report.plots.msd import msd as msd
from ionsieve.report.plots.parity import parity as parity
from ionsieve.report.plots.tradeoff import tradeoff as tradeoff
