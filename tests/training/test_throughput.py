"""Operations as counted, against counts by hand."""

import torch
import torch.nn.functional as F

from panodiff.training.throughput import counted, matrix_rate


def test_attention_and_its_gradient_are_counted_on_the_cpu():
    query, key, value = (torch.randn(2, 4, 64, 32, requires_grad=True) for _ in range(3))
    product = 2 * (2 * 4) * 64 * 64 * 32  # of one of the matrix products of one head and image, over all of them
    with counted() as forward:
        result = F.scaled_dot_product_attention(query, key, value)
    assert forward.get_total_flops() == 2 * product
    with counted() as backward:
        result.sum().backward()
    assert backward.get_total_flops() == 5 * product  # the scores once more, then two products for each of the two


def test_convolutions_and_products_are_counted():
    image, kernel, matrix = torch.randn(3, 5, 16, 16), torch.randn(7, 5, 3, 3), torch.randn(16, 16)
    with counted() as counter:
        F.conv2d(image, kernel, padding=1)
        torch.matmul(matrix, matrix)
    assert counter.get_total_flops() == 2 * 3 * 7 * 5 * 9 * 16 * 16 + 2 * 16**3


def test_the_matrix_rate_is_that_of_a_product_measured_here():
    assert 1e9 < matrix_rate(torch.device("cpu"), torch.float32) < 1e14
