"""What a load costs and needs: prices, quotas, capacity, and a model of fairness.

Pure functions of numbers that are given: nothing here measures, and nothing asks a network.
"""
