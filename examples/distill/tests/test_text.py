"""What sentence embeddings are judged by."""

import numpy as np
import torch
from conftest import bert

from far_distill.source import TextSource
from far_distill.text import embed, ranks, spearman


def test_ranks_share_the_mean_where_values_are_equal():
    assert ranks(np.array([3.0, 1.0, 3.0, 2.0])).tolist() == [3.5, 1.0, 3.5, 2.0]
    rising = np.array([1.0, 2.0, 4.0])
    assert abs(spearman(rising, rising**3) - 1) < 1e-12 and abs(spearman(rising, -rising) + 1) < 1e-12


def test_embeddings_come_in_the_order_of_the_sentences():
    model, _ = bert()
    ids = [[1, 2, 3], [4, 5], [6, 7, 8], [9, 10], [11]]
    with torch.no_grad():
        expected = torch.cat([model(torch.tensor([sentence])) for sentence in ids]).numpy()
    assert np.abs(embed(model, ids) - expected).max() < 1e-5


def test_batches_hold_sentences_of_one_length_and_every_sentence_once():
    source = TextSource([[i] * (1 + i % 3) for i in range(50)], [[1]])
    seen = [int(row[0]) for batch in source.batches(0, 4, 0) for row in source.take(batch)]
    assert len(seen) == len(set(seen)) and len(seen) >= 47
    assert source.batches(0, 4, 0)[0][1].tolist() == source.batches(0, 4, 0)[0][1].tolist()
    orders = [[batch[1].tolist() for batch in source.batches(epoch, 4, 0)] for epoch in (0, 1)]
    assert orders[0] != orders[1]
