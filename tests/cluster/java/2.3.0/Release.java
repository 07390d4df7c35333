/* SPDX-License-Identifier: Apache-2.0 */

import alluxio.AlluxioURI;
import alluxio.client.file.FileOutStream;
import alluxio.client.file.FileSystem;
import alluxio.conf.InstancedConfiguration;
import alluxio.grpc.CreateFilePOptions;
import alluxio.util.ConfigurationUtils;

/** What differs between releases, here for 2.3.0. */
final class Release {
  private Release() {}

  static InstancedConfiguration configuration() {
    return new InstancedConfiguration(ConfigurationUtils.defaults());
  }

  static FileOutStream create(InstancedConfiguration conf, AlluxioURI uri, CreateFilePOptions options, String worker) {
    throw new UnsupportedOperationException("no choice of a worker");
  }

  static void cache(FileSystem files, AlluxioURI uri, String worker) {
    throw new UnsupportedOperationException("no Cache");
  }
}
