# ruff: noqa: E501  (tables of chemicals and their guidance)
"""How phases of each family are usually made: precursors, atmosphere, excess, firing, handling, competing phases.

All of this is guidance from the literature named with it, not a result of the simulation; the sheet says so. Precursors
stand in order of preference: a later one is taken only where the earlier cannot give the composition.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ionsieve.errors import InputError, nearest

__all__ = ["FAMILIES", "Family", "family"]


@dataclass(frozen=True)
class Family:
    """Guidance for one family.

    Attributes
    ----------
    precursors
        Formulas in order of preference.
    exchanged
        Elements that come from or leave into the atmosphere and are not balanced.
    leaves
        What leaves on firing, in words.
    excess_wt_percent
        Usual excess of volatile precursors, per cent of their mass.
    """

    name: str
    precursors: tuple[str, ...]
    exchanged: frozenset[str]
    leaves: str
    excess_wt_percent: dict[str, float]
    firing: tuple[str, ...]
    handling: tuple[str, ...]
    competing: tuple[str, ...]
    source: str
    hazards: tuple[str, ...] = field(default=())


_AIR = frozenset({"O", "C", "H", "N"})
_OXIDES = (
    "MgO", "CaCO3", "SrCO3", "BaCO3", "ZnO", "Al2O3", "Ga2O3", "In2O3", "Sc2O3", "Y2O3", "La2O3", "ZrO2", "HfO2", "TiO2", "SnO2",
    "GeO2", "CeO2", "SiO2", "Nb2O5", "Ta2O5", "V2O5", "Sb2O5", "WO3", "MoO3", "TeO2", "Bi2O3", "Fe2O3", "Cr2O3", "MnO2", "CoO", "NiO",
    "Gd2O3", "Nd2O3", "Sm2O3", "Yb2O3", "Lu2O3", "Er2O3", "Dy2O3", "Eu2O3", "Pr2O3", "Ho2O3", "Tb2O3", "Tm2O3", "H3BO3", "CuO", "NH4H2PO4",
)  # fmt: skip
_SULFIDES = (
    "P2S5", "SiS2", "GeS2", "SnS2", "Sb2S3", "As2S3", "WS2", "MoS2", "Al2S3", "Ga2S3", "In2S3", "B2S3", "MgS", "CaS", "SrS", "BaS", "ZnS",
    "TiS2", "ZrS2", "Y2S3", "La2S3", "Ta2S5", "Nb2S5", "Bi2S3", "SiO2", "GeO2", "P2O5", "P", "Sb", "Sn", "Se", "S", "P2Se5",
)  # fmt: skip

FAMILIES: dict[str, Family] = {
    f.name: f
    for f in (
        Family(
            "nasicon", ("Na2CO3", "Li2CO3", "K2CO3", *_OXIDES, "NaF", "NaCl"), _AIR,
            "CO2, NH3 and H2O leave below 600 °C: heat slowly through 150-400 °C, the ammonium phosphate foams.",
            {"Na2CO3": 10.0, "Li2CO3": 10.0},
            ("Mill the precursors wet (ethanol or 2-propanol), dry.",
             "Calcine in air: 400 °C for some hours (gas leaves), then 900-1150 °C, 10-12 h.",
             "Mill again, press, sinter in air at 1150-1250 °C, 6-24 h, buried in powder of the same composition against loss of Na and P."),
            ("Stable in air as a pellet; store powders dry.",),
            ("monoclinic ZrO2 (the usual sign of lost Na or P)", "Na3PO4", "Na2ZrSi2O7 and sodium silicate glass"),
            "H. Y.-P. Hong, Mater. Res. Bull. 11 (1976) 173, 10.1016/0025-5408(76)90073-8; sintering at 1250 °C as in Li 2023, Batteries 9, 252",
            ("Ammonia on heating: fume hood.",),
        ),
        Family(
            "sulfide", ("Na2S", "Li2S", "K2S", "NaCl", "NaBr", "NaI", "NaF", "LiCl", "LiBr", "LiI", "Na2Se", "Na2O", *_SULFIDES), frozenset(),
            "Nothing leaves a sealed tube: the sum of the precursors is the product.", {},
            ("Mill Na2S (or Li2S) with the other sulfides under argon, some hours at 500 rpm.",
             "Crystallise under argon or in an evacuated, sealed, carbon-coated quartz tube: near 270 °C for the cubic glass-ceramic, 500-800 °C for the crystalline phase.",
             "Press cold at 300-400 MPa; sulfides need no sintering."),
            ("Argon glove box throughout (H2O and O2 below 1 ppm).", "Dry NaCl and the like under vacuum at 200 °C before weighing."),
            ("residual Na2S", "Na4P2S6 or P2S5-rich glass", "the dopant's own sulfide or halide beyond its solubility"),
            "A. Hayashi et al., Nat. Commun. 3 (2012) 856, 10.1038/ncomms1843; I.-H. Chu et al., Sci. Rep. 6 (2016) 33733, 10.1038/srep33733",
            ("H2S, toxic, forms with moist air, also from residues: quench under argon, dispose of in a fume hood.",),
        ),
        Family(
            "argyrodite", ("Li2S", "P2S5", "LiCl", "LiBr", "LiI", "Na2S", "NaCl", *_SULFIDES), frozenset(),
            "Nothing leaves a sealed tube: the sum of the precursors is the product.", {},
            ("Mill under argon, 10-20 h.", "Anneal in a sealed, carbon-coated quartz tube at 500-550 °C, some hours to a day; cool slowly.", "Press cold at 300-400 MPa."),
            ("Argon glove box throughout.", "Dry the lithium halide under vacuum at 200 °C before weighing."),
            ("Li2S", "LiCl", "Li3PS4"),
            "H.-J. Deiseroth et al., Angew. Chem. Int. Ed. 47 (2008) 755, 10.1002/anie.200703900",
            ("H2S, toxic, forms with moist air.",),
        ),
        Family(
            "antiperovskite", ("NaCl", "NaBr", "NaI", "NaF", "NaBH4", "Na2O", "LiCl", "LiBr", "LiI", "LiOH", "Li2O", "KCl", "KI", "KBr", "K2O", "NaOH", "MgO", "CaO", "SrO", "BaO", "ZnO", "Na2S"), frozenset(),
            "Nothing leaves when Na2O is used; with Na metal and NaOH instead, H2 leaves.", {},
            ("Mill the oxide with the halide under argon.",
             "Heat under argon or vacuum in a closed metal (not oxide) crucible: Na3OBr and relatives form at 250-400 °C; hold 12-48 h, mill, repeat.",
             "Press warm (about 200 °C) or cold."),
            ("Argon glove box throughout: moisture makes hydroxide, which conducts and is easily mistaken for the phase.", "Check for OH by infrared before believing a conductivity."),
            ("unreacted Na2O", "NaCl (or the halide used)", "Na2OHCl and NaOH after contact with moisture"),
            "Y. Wang et al., J. Power Sources 293 (2015) 735, 10.1016/j.jpowsour.2015.06.002; hydroxide caution: Z. D. Hood et al., J. Am. Chem. Soc. 138 (2016) 1768, 10.1021/jacs.5b11851",
            ("Na2O and hydroxides are corrosive.",),
        ),
        Family(
            "halide", ("NaCl", "LiCl", "NaBr", "LiBr", "NaI", "LiI", "NaF", "LiF", "KCl", "YCl3", "YBr3", "ZrCl4", "HfCl4", "AlCl3", "InCl3", "ScCl3", "ErCl3", "GdCl3", "LaCl3", "HoCl3", "LuCl3", "YbCl3", "TaCl5", "NbCl5", "FeCl3", "GaCl3", "MgCl2", "CaCl2", "ZnCl2", "SrCl2", "BaCl2", "SnCl4", "TiCl4", "Na2O", "Li2O"), frozenset(),
            "Nothing leaves a sealed tube.", {},
            ("Mill the chlorides under argon, 10-50 h.", "Anneal in a sealed tube at 200-550 °C, below the lowest boiling chloride's pressure limit (AlCl3 sublimes at 180 °C, ZrCl4 at 331 °C)."),
            ("Argon glove box throughout.", "Use anhydrous chlorides; dry NaCl at 200 °C under vacuum."),
            ("NaCl (or LiCl)", "oxychlorides after contact with moisture", "the binary chloride of the metal"),
            "T. Asano et al., Adv. Mater. 30 (2018) 1803075, 10.1002/adma.201803075; E. A. Wu et al., Nat. Commun. 12 (2021) 1256, 10.1038/s41467-021-21488-7",
            ("Anhydrous chlorides give off HCl with moist air.",),
        ),
        Family(
            "garnet", ("LiOH", "Li2CO3", "La2O3", "ZrO2", *_OXIDES), _AIR,
            "H2O (from LiOH) or CO2 leaves.", {"LiOH": 10.0, "Li2CO3": 10.0},
            ("Dry La2O3 at 900 °C before weighing (it takes up water and CO2).", "Calcine at 900 °C, 12 h, mill, again at 1100-1150 °C.",
             "Sinter at 1100-1230 °C, 6-36 h, buried in powder of the same composition, in MgO or Pt: alumina crucibles dope the garnet."),
            ("Pellets pick up Li2CO3 in air: polish and keep under argon.",),
            ("La2Zr2O7 (lost Li)", "Li2ZrO3", "the tetragonal polymorph (too little dopant)"),
            "R. Murugan, V. Thangadurai, W. Weppner, Angew. Chem. Int. Ed. 46 (2007) 7778, 10.1002/anie.200701144",
        ),
        Family(
            "spinel", ("MgSe", "MgS", "CaS", "ZnS", "Sc", "Y", "In", "Mg", "Zn", "Ca", "Sc2S3", "Y2S3", "In2S3", "Er2S3", "S", "Se"), frozenset(),
            "Nothing leaves a sealed tube.", {},
            ("Mix the elements or binaries under argon, press, seal in evacuated quartz inside a graphite or alumina crucible.", "React at 800-1000 °C; heat slowly (50 °C/h) through the melting of the chalcogen: the tube may burst."),
            ("Argon glove box.",), ("MgSe or MgS", "Sc2Se3 or Y2S3"),
            "P. Canepa et al., Nat. Commun. 8 (2017) 1759, 10.1038/s41467-017-01772-1",
            ("H2Se and H2S are toxic and form with moisture.",),
        ),
        Family(
            "layered", ("Na2CO3", "K2CO3", "Li2CO3", "ZnO", "TeO2", *_OXIDES), _AIR, "CO2 leaves, O2 is taken up (Te IV to VI).", {"Na2CO3": 3.0},
            ("Mill, press, heat in air at 700-900 °C, 12-24 h, buried in powder of the same composition.",), ("Stable in air.",), ("ZnO", "Na2TeO4"),
            "M. A. Evstigneeva et al., Solid State Sci. 13 (2011) 1147, 10.1016/j.solidstatesciences.2011.03.003",
        ),
        Family(
            "beta_alumina", ("Na2CO3", "Al2O3", "MgO", "Li2CO3", *_OXIDES), _AIR, "CO2 leaves.", {"Na2CO3": 5.0},
            ("Calcine at 1250 °C.", "Sinter at 1580-1620 °C for minutes, closed in MgO or Pt against loss of soda; anneal at 1400 °C."),
            ("Store dry: moisture exchanges Na for H3O.",), ("NaAlO2", "the beta polymorph beside beta''"),
            "J. L. Sudworth, A. R. Tilley, The Sodium Sulfur Battery, Chapman and Hall 1985",
        ),
    )
}  # fmt: skip


def family(name: str) -> Family:
    """Return the guidance for a family.

    Raises
    ------
    InputError
        When none is known; the sheet needs precursors then.
    """
    try:
        return FAMILIES[name]
    except KeyError:
        close = nearest(name, FAMILIES)
        raise InputError(
            f"there is no guidance for the family {name!r}",
            remedy=(
                f"did you mean {close!r}?" if close else f"known: {', '.join(FAMILIES)}; or name precursors yourself"
            ),
        ) from None
