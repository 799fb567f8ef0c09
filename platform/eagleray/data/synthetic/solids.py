"""The five demo solids and the defects that each can have."""

from collections.abc import Mapping

from eagleray.data.synthetic.solid_defects import BrokenEdge, Crack, ForeignBody, Hole, Sag, Stain, Swelling
from eagleray.data.synthetic.solid_render import Defect, Solid
from eagleray.data.synthetic.solid_shapes import biscuit, bolt, gear, potato, tray

_DENT, _BUMP = Swelling((-0.022, -0.014)), Swelling((0.014, 0.022))

SOLIDS: Mapping[str, Solid] = {
    "biscuit": Solid(
        biscuit,
        {
            "burn": Defect("color", Stain((0.4, 0.34, 0.3))),
            "mould": Defect("color", Stain((0.6, 0.85, 0.9), (0.6, 0.9))),
            "bulge": Defect("depth", _BUMP),
            "dent": Defect("depth", _DENT),
            "broken_edge": Defect("both", BrokenEdge((0.62, 0.42, 0.22))),
            "crack": Defect("both", Crack()),
            "foreign_body": Defect("both", ForeignBody((0.45, 0.46, 0.48))),
        },
    ),
    "bolt": Solid(
        bolt,
        {
            "rust": Defect("color", Stain((0.7, 0.4, 0.25), (0.65, 0.95))),
            "tarnish": Defect("color", Stain((0.5, 0.55, 0.6))),
            "dent": Defect("depth", Swelling((-0.018, -0.013))),
            "worn": Defect("depth", Sag()),
            "gouge": Defect("both", Crack(bend=0.1, inside=1.5)),
            "spatter": Defect("both", ForeignBody((0.22, 0.22, 0.24))),
        },
    ),
    "gear": Solid(
        gear,
        {
            "heat_tint": Defect("color", Stain((0.55, 0.6, 0.95), (0.65, 0.9))),
            "rust": Defect("color", Stain((0.85, 0.5, 0.3), (0.65, 0.95))),
            "dent": Defect("depth", _DENT),
            "worn": Defect("depth", Sag()),
            "broken_tooth": Defect("both", BrokenEdge((0.42, 0.42, 0.43))),
            "crack": Defect("both", Crack()),
            "swarf": Defect("both", ForeignBody((0.5, 0.42, 0.24))),
        },
    ),
    "potato": Solid(
        potato,
        {
            "green_skin": Defect("color", Stain((0.6, 0.95, 0.55), (0.6, 0.9))),
            "scab": Defect("color", Stain((0.5, 0.42, 0.36))),
            "bruise": Defect("depth", _DENT),
            "growth": Defect("depth", _BUMP),
            "cut": Defect("both", Crack(bend=0.08, inside=1.5)),
            "hole": Defect("both", Hole((0.06, 0.04, 0.03))),
            "stone": Defect("both", ForeignBody((0.3, 0.29, 0.28))),
        },
    ),
    "tray": Solid(
        tray,
        {
            "flow_mark": Defect("color", Stain((1.5, 1.35, 1.3), (0.6, 0.9), stretch=(2.5, 4.0))),
            "stain": Defect("color", Stain((0.75, 0.6, 0.45))),
            "sink_mark": Defect("depth", _DENT),
            "warp": Defect("depth", Sag()),
            "crack": Defect("both", Crack()),
            "hole": Defect("both", Hole((0.05, 0.05, 0.055))),
            "short_shot": Defect("both", BrokenEdge((0.24, 0.36, 0.43))),
        },
    ),
}
"""Every solid by name, sorted; each has defects that show in color only, in depth only and in both."""
