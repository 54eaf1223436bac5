"""What is measured of a contender, one file for each way to do it."""

from .base import Column, Contender, Run

__all__ = ["Column", "Contender", "Run"]
