/** Products of a matrix with symbols, by whatever of the kernel is cheapest for a row. */
import { type Kernel, ROW_BYTES } from './kernel.ts';

export interface Inputs {
  /** Address of the first. */
  readonly input: number;
  readonly strideBytes: number;
  readonly count: number;
  /** Of each that are read: a multiple of 64. */
  readonly bytes: number;
}

/**
 * For each row of `matrix` (`count` coefficients each) makes the sum of the inputs times the row, and says where it is: at
 * `output` or a stride behind, until the next one is made.
 */
export function multiplyRows(
  kernel: Kernel,
  matrix: Uint8Array,
  rows: number,
  { input, strideBytes, count, bytes }: Inputs,
  output: number,
  handleRow: (row: number, address: number) => void,
): void {
  const { coefficients } = kernel;
  for (let row = 0; row < rows; row++) {
    if (isOnes(matrix, row * count, count)) {
      kernel.sum(output, input, strideBytes, count, bytes);
      handleRow(row, output);
      continue;
    }
    copyRow(matrix, row, count, coefficients, 0);
    if (row + 1 === rows) {
      kernel.dot(output, input, strideBytes, count, bytes);
      handleRow(row, output);
      continue;
    }
    copyRow(matrix, row + 1, count, coefficients, ROW_BYTES);
    kernel.dot2(output, input, strideBytes, count, bytes);
    handleRow(row, output);
    handleRow(row + 1, output + strideBytes);
    row++;
  }
}

function copyRow(matrix: Uint8Array, row: number, count: number, coefficients: Uint8Array, at: number): void {
  for (let j = 0; j < count; j++) coefficients[at + j] = matrix[row * count + j]!;
}

function isOnes(matrix: Uint8Array, at: number, count: number): boolean {
  for (let j = 0; j < count; j++) {
    if (matrix[at + j] !== 1) return false;
  }
  return true;
}
