"""Features that cannot see the future, and the labels that may: one catalogue, one walk over symbols and days."""

from liqlab.features._catalogue import FEATURE_TABLE, FEATURES, feature_table, select_features
from liqlab.features._config import FeatureConfig
from liqlab.features._feature import FAMILIES, LIQUIDATION_FAMILIES, Feature
from liqlab.features._inputs import FeatureInputs
from liqlab.features._iterate import FeatureDay, iterate_features
from liqlab.features._labels import LabelWalk
from liqlab.features._notes import ColumnNote
from liqlab.features._page import FEATURE_DICTIONARY, describe_features, render_feature_page
from liqlab.features._store import FeatureStore
from liqlab.features._walk import FeatureWalk

__all__ = [
    "FAMILIES",
    "FEATURES",
    "FEATURE_DICTIONARY",
    "FEATURE_TABLE",
    "LIQUIDATION_FAMILIES",
    "ColumnNote",
    "Feature",
    "FeatureConfig",
    "FeatureDay",
    "FeatureInputs",
    "FeatureStore",
    "FeatureWalk",
    "LabelWalk",
    "describe_features",
    "feature_table",
    "iterate_features",
    "render_feature_page",
    "select_features",
]
