"""Where handlers find the simulator."""

from aiohttp import web

from simulator.core import Simulator

SIMULATOR = web.AppKey("simulator", Simulator)
