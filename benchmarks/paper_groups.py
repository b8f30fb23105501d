# Copyright (c) the monai_coat authors.
# Licensed under the Apache License, Version 2.0 (see LICENSE).
"""The paper's groups, a few at a time: ``python -m benchmarks.paper_groups --output O --dataset fire --network UNet``.

What is run is put into docs/results/benchmark beside what is there, so that hours of training can be spread. Networks
and maps are kept in the output folder. ``COAT_DATA_DIR`` must be set.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from monai_coat.comparison import ComparisonData, Protocol, load_protocol, rows_of, run_comparison
from monai_coat.comparison.results.report import draw_figures
from monai_coat.comparison.results.rows import in_whole_groups
from monai_coat.comparison.results.tables import read_results, write_results, write_tables

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "results" / "benchmark"


def main() -> None:
    """Run the groups that are named, and write the tables and figures of all that there are."""
    protocol = load_protocol("paper")
    parser = argparse.ArgumentParser(description="Run groups of the protocol paper, and add them to the results.")
    parser.add_argument("--output", type=Path, required=True, help="folder of networks, maps and cells")
    parser.add_argument("--dataset", nargs="+", choices=protocol.datasets, default=list(protocol.datasets))
    parser.add_argument("--network", nargs="+", choices=protocol.networks, default=list(protocol.networks))
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", datefmt="%H:%M:%S")
    torch.set_num_threads(1)
    wanted = _part_of(protocol, options.dataset, options.network)
    write(protocol, run_comparison(ComparisonData(wanted, options.output)), FOLDER)


def _part_of(protocol: Protocol, datasets: Sequence[str], networks: Sequence[str]) -> Protocol:
    return replace(
        protocol,
        datasets={name: protocol.datasets[name] for name in datasets},
        networks={name: protocol.networks[name] for name in networks},
    )


def write(protocol: Protocol, cells: Sequence[Mapping[str, Any]], folder: Path) -> None:
    """Put cells in place of those of the same group and method, or beside them, and write what follows from all."""
    path = folder / "results.json"
    kept = {_key(cell): cell for cell in (read_results(path) if path.is_file() else [])}
    kept |= {_key(cell): cell for cell in cells}
    places = {(str(group), method): None for group in protocol.groups() for method in protocol.methods}
    folder.mkdir(parents=True, exist_ok=True)
    write_results([kept[key] for key in places if key in kept], path)
    results = read_results(path)
    rows, by_groups = (rows_of(each, protocol.reference) for each in (results, in_whole_groups(results)))
    write_tables(rows, protocol, folder, by_groups=by_groups)
    draw_figures(rows, results, protocol, folder)


def _key(cell: Mapping[str, Any]) -> tuple[str, str]:
    return f"{cell['dataset']}-{cell['network']}-{cell['alpha']:g}", cell["method"]


if __name__ == "__main__":
    main()
