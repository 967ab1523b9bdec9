"""What every other part stands on: tables, errors, time, files, configuration, progress, parallel work."""
