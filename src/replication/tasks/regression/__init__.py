"""Regression with harmful supervision."""
