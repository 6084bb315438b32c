"""Tests of labctl."""
