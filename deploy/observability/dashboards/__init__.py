"""Every dashboard, in the order in which somebody on call looks at them."""

from deploy.observability.dashboards.business import BUSINESS
from deploy.observability.dashboards.graph_api import GRAPH_API
from deploy.observability.dashboards.model import MODEL
from deploy.observability.dashboards.overview import OVERVIEW
from deploy.observability.dashboards.pipeline import PIPELINE

DASHBOARDS = (OVERVIEW, PIPELINE, GRAPH_API, MODEL, BUSINESS)
