"""What a stranger's model, dataset, run or plan holds that should be known before it is used."""
